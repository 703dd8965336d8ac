// The face as lines between its landmarks, never as a picture; mirrored, as people know themselves.

import { coloursOf, fitCanvas } from "./parts.js";
import { IRISES, NET, OUTLINES } from "./mesh-lines.js";

const LATE_MS = 1500;
const MARGIN = 0.12;
const EASE = 0.2; // of the way to where the face is now: the frame around it follows slowly

export class FaceMesh {
  constructor(canvas) {
    this.canvas = canvas;
    this.seen = null;
    this.news = false;
    this.seenAt = -Infinity;
    this.place = null;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.readColours();
  }

  readColours() {
    this.colours = coloursOf(["accent", "ink"]);
  }

  // Whether there is a face and it is of this moment.
  get current() {
    return Boolean(this.seen?.points) && performance.now() - this.seenAt < LATE_MS;
  }

  push(landmarks) {
    this.news = true;
    this.seen = landmarks;
    this.seenAt = performance.now();
    if (landmarks.points) this.#follow(landmarks);
  }

  draw() {
    this.news = false;
    const { context, width, height } = fitCanvas(this.canvas);
    context.clearRect(0, 0, width, height);
    this.canvas.dataset.face = String(this.current);
    if (!this.current) return;
    const { x: middleX, y: middleY, size } = this.place;
    const scale = (Math.min(width, height) * (1 - MARGIN)) / size;
    // plain numbers: this runs ten times a second over thousands of ends of lines
    const [xs, ys] = [new Float32Array(this.seen.points.length), new Float32Array(this.seen.points.length)];
    this.seen.points.forEach((point, i) => {
      xs[i] = width / 2 - (point[0] * this.seen.aspect - middleX) * scale;
      ys[i] = height / 2 + (point[1] - middleY) * scale;
    });
    context.lineJoin = "round";
    context.strokeStyle = this.colours.accent;
    context.globalAlpha = 0.32;
    context.lineWidth = 0.7;
    stroke(context, NET, xs, ys);
    context.globalAlpha = 1;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 1.6;
    stroke(context, OUTLINES, xs, ys);
    for (const iris of IRISES) circle(context, iris, xs, ys);
  }

  // Middle and size of the face, in heights of the picture.
  #follow({ points, aspect }) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const point of points) {
      left = Math.min(left, point[0] * aspect);
      right = Math.max(right, point[0] * aspect);
      top = Math.min(top, point[1]);
      bottom = Math.max(bottom, point[1]);
    }
    const now = { x: (left + right) / 2, y: (top + bottom) / 2, size: Math.max(right - left, bottom - top, 1e-3) };
    const before = this.place ?? now;
    const far = Math.hypot(now.x - before.x, now.y - before.y) > now.size;
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
