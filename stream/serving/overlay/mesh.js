// The face as lines between its landmarks, never as a picture; mirrored, as people know themselves.
// Where several are there each is in a box.

import { coloursOf, fitCanvas } from "./parts.js";
import { IRISES, NET, OUTLINES } from "./mesh-lines.js";

const LATE_MS = 1500;
const MARGIN = 0.12;
const EASE = 0.2; // of the way to where the face is now: the frame around it follows slowly
const TEXT = 13;
const LINE = TEXT + 8;

export class FaceMesh {
  constructor(canvas) {
    this.canvas = canvas;
    this.seen = null;
    this.news = false;
    this.seenAt = -Infinity;
    this.place = null;
    this.faces = [];
    this.facesAt = -Infinity;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.readColours();
  }

  readColours() {
    this.colours = coloursOf(["accent", "ink", "soft"]);
  }

  // Whether there is a face and it is of this moment.
  get current() {
    return Boolean(this.seen?.points) && performance.now() - this.seenAt < LATE_MS;
  }

  get several() {
    return this.faces.length > 1 && performance.now() - this.facesAt < LATE_MS;
  }

  // Whether what is drawn is over.
  get stale() {
    const { face, faces } = this.canvas.dataset;
    return (face === "true" && !this.current) || (Number(faces) > 0 && !this.several);
  }

  // The faces of a result, as it has them where several are followed.
  crowd(faces) {
    this.news ||= faces.length > 1 || this.faces.length > 1;
    const before = this.several;
    this.faces = [...faces].sort((one, other) => one.box.x - other.box.x);
    this.facesAt = performance.now();
    if (this.several !== before) this.place = null;
    if (this.several) this.#follow(faces.flatMap(({ box: { x, y, width, height } }) => [[x, y], [x + width, y + height]]));
  }

  push(landmarks) {
    this.news = true;
    this.seen = landmarks;
    this.seenAt = performance.now();
    if (landmarks.points && !this.several) this.#follow(landmarks.points);
  }

  draw() {
    this.news = false;
    const { context, width, height } = fitCanvas(this.canvas);
    context.clearRect(0, 0, width, height);
    this.canvas.dataset.face = String(this.current);
    this.canvas.dataset.faces = this.several ? String(this.faces.length) : "0";
    const view = this.place && this.#view(width, height);
    if (this.current && view) this.#lines(context, view);
    if (this.several) this.faces.forEach((face, i) => this.#box(context, view, face, i % 2 === 0));
  }

  get #aspect() {
    return this.seen?.aspect ?? 4 / 3;
  }

  // Where the right upper corner of the mirrored picture is, and how large it is.
  #view(width, height) {
    const { x, y, wide, high } = this.place;
    const size = Math.max(wide, high, 1e-3);
    const close = Math.min(width, height) / size;
    const scale = (this.several ? Math.min(width / wide, (height - 2 * LINE) / high) : close) * (1 - MARGIN);
    return { x: width / 2 + x * scale, y: height / 2 - y * scale, width: this.#aspect * scale, height: scale };
  }

  #lines(context, view) {
    // plain numbers: this runs ten times a second over thousands of ends of lines
    const [xs, ys] = [new Float32Array(this.seen.points.length), new Float32Array(this.seen.points.length)];
    this.seen.points.forEach((point, i) => {
      xs[i] = view.x - point[0] * view.width;
      ys[i] = view.y + point[1] * view.height;
    });
    context.lineJoin = "round";
    context.strokeStyle = this.colours.accent;
    context.globalAlpha = 0.32;
    context.lineWidth = 0.7;
    stroke(context, NET, xs, ys);
    context.globalAlpha = 1;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = this.several ? 1 : 1.6;
    stroke(context, OUTLINES, xs, ys);
    for (const iris of IRISES) circle(context, iris, xs, ys);
  }

  // Names of neighbours stand at different heights, so that they do not cover each other.
  #box(context, view, face, above) {
    const { id, label, box, primary, speaking } = face;
    const [wide, high] = [box.width * view.width, box.height * view.height];
    const [left, top] = [view.x - box.x * view.width - wide, view.y + box.y * view.height];
    context.strokeStyle = context.fillStyle = speaking ? this.colours.accent : primary ? this.colours.ink : this.colours.soft;
    context.lineWidth = speaking ? 4 : 1.5;
    context.strokeRect(left, top, wide, high);
    context.font = `600 ${TEXT}px system-ui, sans-serif`;
    context.textAlign = "center";
    const text = `${speaking ? "♪ " : ""}${id} ${label ?? "no score"}`;
    const half = context.measureText(text).width / 2;
    const middle = Math.min(Math.max(left + wide / 2, half), this.canvas.clientWidth - half);
    context.fillText(text, middle, above ? top - 5 : top + high + TEXT + 2);
  }

  // Middle and size of what is shown, in heights of the picture.
  #follow(points) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const point of points) {
      left = Math.min(left, point[0]);
      right = Math.max(right, point[0]);
      top = Math.min(top, point[1]);
      bottom = Math.max(bottom, point[1]);
    }
    const aspect = this.#aspect;
    const now = { x: ((left + right) / 2) * aspect, y: (top + bottom) / 2, wide: (right - left) * aspect, high: bottom - top };
    const before = this.place ?? now;
    const far = Math.hypot(now.x - before.x, now.y - before.y) > Math.max(now.wide, now.high);
    const ease = far || this.still.matches ? 1 : EASE;
    this.place = Object.fromEntries(Object.keys(now).map((key) => [key, before[key] + ease * (now[key] - before[key])]));
  }
}

function stroke(context, walks, xs, ys) {
  context.beginPath();
  for (const walk of walks) {
    context.moveTo(xs[walk[0]], ys[walk[0]]);
    for (let i = 1; i < walk.length; i++) context.lineTo(xs[walk[i]], ys[walk[i]]);
  }
  context.stroke();
}

function circle(context, [middle, ...rim], xs, ys) {
  const radius = rim.reduce((sum, i) => sum + Math.hypot(xs[i] - xs[middle], ys[i] - ys[middle]), 0) / rim.length;
  context.beginPath();
  context.arc(xs[middle], ys[middle], radius, 0, 2 * Math.PI);
  context.stroke();
}
