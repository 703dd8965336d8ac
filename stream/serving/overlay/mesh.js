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
    const at = ([x, y]) => [width / 2 - (x * this.seen.aspect - middleX) * scale, height / 2 + (y - middleY) * scale];
    const points = this.seen.points.map(at);
    context.lineJoin = "round";
    context.strokeStyle = this.colours.accent;
    context.globalAlpha = 0.32;
    context.lineWidth = 0.7;
    stroke(context, NET, points);
    context.globalAlpha = 1;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 1.6;
    stroke(context, OUTLINES, points);
    for (const iris of IRISES) circle(context, iris.map((index) => points[index]));
  }

  // Middle and size of the face, in heights of the picture.
  #follow({ points, aspect }) {
    const [xs, ys] = [points.map(([x]) => x * aspect), points.map(([, y]) => y)];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const now = { x: (left + right) / 2, y: (top + bottom) / 2, size: Math.max(right - left, bottom - top, 1e-3) };
    const before = this.place ?? now;
    const far = Math.hypot(now.x - before.x, now.y - before.y) > now.size;
    const ease = far || matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : EASE;
    this.place = Object.fromEntries(Object.keys(now).map((key) => [key, before[key] + ease * (now[key] - before[key])]));
  }
}

function stroke(context, walks, points) {
  context.beginPath();
  for (const walk of walks) {
    walk.forEach((index, i) => (i ? context.lineTo(...points[index]) : context.moveTo(...points[index])));
  }
  context.stroke();
}

function circle(context, [[x, y], ...rim]) {
  const radius = rim.reduce((sum, [rimX, rimY]) => sum + Math.hypot(rimX - x, rimY - y), 0) / rim.length;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}
