// The moving picture of the last two minutes: stacked shares, sentiment with its interval, presence.

import { coloursOf, fitCanvas } from "./parts.js";

const SECONDS = 120;
const SPANS = [30, 45, 60, 90, SECONDS];
const GAP = 1.5; // no result for longer is a hole in the picture, never a straight line across it
const LEFT = 78;
const AXIS = 22;
const STRIP = 9;
const MARGIN = 4; // pixels to the left of what is new that a line may reach

export class Timeline {
  #picture = document.createElement("canvas");
  #kind = null;
  #column = 0;
  #drawnTo = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
    this.classes = [];
    this.modalities = {};
    this.ends = [-3, 3];
    this.tidyAt = 256;
    this.held = null;
    this.cursor = null;
    this.colours = {};
    this.readColours();
  }

  readColours() {
    this.#kind = null;
    this.font = `13px ${getComputedStyle(this.canvas).fontFamily}`;
    this.colours = coloursOf(["ink", "soft", "edge", "rail", "accent", "good", ...this.classes]);
  }

  setUp(classes, modalities, ends) {
    Object.assign(this, { classes, modalities, ends });
    this.readColours();
  }

  push(result, now) {
    this.points.push({ at: now, result });
    if (this.points.length < this.tidyAt) return;
    // what is held, and the last minutes, which are there again when it is let go
    const kept = (end) => (point) => point.at >= end - SECONDS - GAP && point.at <= end;
    const ends = [now, ...(this.held === null ? [] : [this.held])].map(kept);
    this.points = this.points.filter((point) => ends.some((within) => within(point)));
    this.tidyAt = this.points.length + 256;
  }

  hold(now) {
    this.held = now;
  }

  // How far back the picture reaches: a young session fills it too.
  span(end) {
    const age = this.points.length ? end - this.points[0].at : 0;
    return SPANS.find((span) => age <= span) ?? SECONDS;
  }

  // The point nearest to the cursor: what the caption reads off.
  read(now) {
    if (this.cursor === null) return null;
    const end = this.held ?? now;
    const span = this.span(end);
    const at = end - span + this.cursor * span;
    let best = null;
    for (const point of this.points) {
      // what came after the hold is kept for later and not to be seen yet
      if (point.at <= end && (!best || Math.abs(point.at - at) < Math.abs(best.at - at))) best = point;
    }
    return best && Math.abs(best.at - at) < GAP ? { ...best, ago: end - best.at } : null;
  }

  // Where on the picture `clientX` is, 0 (oldest) to 1 (now).
  cursorFrom(clientX) {
    const box = this.canvas.getBoundingClientRect();
    return Math.min(Math.max((clientX - box.left - LEFT) / (box.width - LEFT), 0), 1);
  }

  draw(now) {
    const { width, height, context } = fitCanvas(this.canvas);
    if (width <= LEFT) return;
    const end = this.held ?? now;
    const span = this.span(end);
    const strips = height - AXIS - 3 * (STRIP + 5);
    const split = strips * 0.62;
    const picture = this.#record(width - LEFT, height, end, span, split, strips);
    context.font = this.font;
    context.clearRect(0, 0, width, height);
    this.#grid(context, width, height, (at) => LEFT + (1 - (end - at) / span) * (width - LEFT), end, span);
    context.drawImage(picture, LEFT, 0, width - LEFT, height);
    this.#names(context, split, strips);
    this.#cursorLine(context, width, height);
  }

  // What moves, on a canvas of its own: what is there already is shifted by whole pixels, and only the newest is drawn.
  #record(width, height, end, span, split, strips) {
    const canvas = this.#picture;
    const ratio = this.canvas.height / height;
    const columns = Math.max(Math.round(width * ratio), 1);
    const column = Math.floor((end * columns) / span);
    const kind = [columns, this.canvas.height, span].join();
    const shift = column - this.#column;
    const anew = kind !== this.#kind || shift < 0 || shift >= columns;
    if (anew) Object.assign(canvas, { width: columns, height: this.canvas.height });
    const points = this.points.filter((point) => point.at >= end - span && point.at <= end);
    const x = (at) => (at * columns / span - column + columns) / ratio;
    const context = canvas.getContext("2d");
    const from = anew ? 0 : Math.max(Math.floor(x(this.#drawnTo)) - MARGIN, 0);
    if (shift > 0 && !anew) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalCompositeOperation = "copy";
      context.drawImage(canvas, -shift, 0);
      context.globalCompositeOperation = "source-over";
    }
    [this.#kind, this.#column, this.#drawnTo] = [kind, column, points.at(-1)?.at ?? end];
    const first = Math.max(points.findIndex((point) => x(point.at) >= from) - 1, 0);
    context.save();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    context.rect(from, 0, width - from, height);
    context.clip();
    context.clearRect(from, 0, width - from, height);
    this.#stretch(context, points.slice(first), x, split, strips, width);
    context.restore();
    return canvas;
  }

  #stretch(context, points, x, split, strips, width) {
    this.#shares(context, runs(points, (point) => point.result.emotions), x, 0, split - 10);
    this.#sentiment(context, runs(points, (point) => point.result.sentiment), x, split + 4, strips - 10, width);
    this.#presence(context, points, x, strips);
  }

  #grid(context, width, height, x, end, span) {
    context.fillStyle = this.colours.soft;
    context.strokeStyle = this.colours.edge;
    context.textBaseline = "bottom";
    const step = width < 480 ? span / 2 : span / 3;
    for (let ago = 0; ago <= span; ago += step) {
      const at = Math.round(x(end - ago)) + (ago === 0 ? -0.5 : 0.5);
      line(context, at, 0, at, height - AXIS);
      context.textAlign = ago === 0 ? "right" : ago === span ? "left" : "center";
      context.fillText(ago === 0 ? "now" : `−${ago} s`, at, height - 1);
    }
  }

  #shares(context, pieces, x, top, bottom) {
    for (const piece of pieces) {
      const floor = piece.map(() => 0);
      for (const name of this.classes) {
        const ceiling = piece.map((point, i) => floor[i] + (point.result.emotions[name] ?? 0));
        area(context, piece, x, (i) => bottom - floor[i] * (bottom - top), (i) => bottom - ceiling[i] * (bottom - top));
        context.fillStyle = this.colours[name];
        context.fill();
        ceiling.forEach((value, i) => (floor[i] = value));
      }
    }
  }

  #sentiment(context, pieces, x, top, bottom, width) {
    const [low, high] = this.ends;
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
    context.fillStyle = this.colours.rail;
    context.fillRect(0, Math.round(y(0)), width, 1);
    for (const piece of pieces) {
      const of = (i) => piece[i].result.sentiment;
      area(context, piece, x, (i) => y(of(i).low), (i) => y(of(i).high));
      context.globalAlpha = 0.3;
      context.fillStyle = this.colours.accent;
      context.fill();
      context.globalAlpha = 1;
      context.beginPath();
      piece.forEach((point, i) => context.lineTo(x(point.at), y(of(i).value)));
      context.strokeStyle = this.colours.ink;
      context.lineWidth = 2;
      context.stroke();
      context.lineWidth = 1;
    }
  }

  #presence(context, seen, x, top) {
    Object.keys(this.modalities).forEach((name, row) => {
      const y = top + row * (STRIP + 5);
      for (const piece of runs(seen, () => true)) {
        const [from, to] = [x(piece[0].at), x(piece[piece.length - 1].at)];
        context.fillStyle = this.colours.rail;
        context.fillRect(from, y, to - from, STRIP);
      }
      context.fillStyle = this.colours.good;
      for (const piece of runs(seen, (point) => point.result.modalities[name]?.present)) {
        const from = x(piece[0].at);
        context.fillRect(from, y, Math.max(x(piece[piece.length - 1].at) - from, 1), STRIP);
      }
    });
  }

  #names(context, split, strips) {
    context.fillStyle = this.colours.soft;
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText("Shares", 0, 0);
    context.fillText("Sentiment", 0, split + 2);
    context.textBaseline = "middle";
    Object.values(this.modalities).forEach((text, row) =>
      context.fillText(text, 0, strips + row * (STRIP + 5) + STRIP / 2),
    );
  }

  #cursorLine(context, width, height) {
    if (this.cursor === null) return;
    const x = LEFT + this.cursor * (width - LEFT);
    context.strokeStyle = this.colours.ink;
    line(context, x, 0, x, height - AXIS);
  }
}

// Stretches of neighbouring points for which `has` holds.
function runs(points, has) {
  const pieces = [];
  let last = null;
  for (const point of points) {
    if (has(point)) {
      if (last === null || point.at - last > GAP) pieces.push([]);
      pieces[pieces.length - 1].push(point);
      last = point.at;
    } else last = null;
  }
  return pieces;
}

function area(context, piece, x, lower, upper) {
  context.beginPath();
  piece.forEach((point, i) => context.lineTo(x(point.at), upper(i)));
  for (let i = piece.length - 1; i >= 0; i--) context.lineTo(x(piece[i].at), lower(i));
  context.closePath();
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
