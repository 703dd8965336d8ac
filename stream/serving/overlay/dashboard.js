// The dashboard: takes messages as they come and shows the newest once a picture. Every picture of the page costs
// about as much, whatever changed in it: rate=30 in the query string asks for more of them.

import { Calibration } from "./calibrate.js";
import { Devices, Pause, switchTheme } from "./controls.js";
import { LatencyTable } from "./latency.js";
import { FaceMesh } from "./mesh.js";
import { Recording } from "./record.js";
import {
  CONNECTION_TEXT, MODALITY_NAMES, ageText, byId, connect, element, makeBars, option, percent, reasonText, setBars,
  setScale, setText, signed,
} from "./parts.js";
import { Timeline } from "./timeline.js";

const LATE_SECONDS = 2;
const SPEAK_SECONDS = 5;
const REDRAW_SECONDS = 0.5; // of all but the answer, the face and what has come or gone
const HINTS = { too_dark: "too dark", clipping: "sound is clipped", too_quiet: "too quiet" };
const SIGNS = { text: "“”", audio: "♪", vision: "☺" };

const timeline = new Timeline(byId("timeline"));
const latency = new LatencyTable();
const mesh = new FaceMesh(byId("mesh"));
const events = ["result", "status", "landmarks", "calibration"];
const client = connect({ events, maxRate: option("rate", 5, 1, 60) });
const pause = new Pause(client, showCapturing);
const recording = new Recording(client, showCapturing);
new Calibration(client);
new Devices(client);
const seconds = () => performance.now() / 1000;
let bars = new Map();
let rows = {};
let ends = [-3, 3];
let newest = null;
let newestAt = null;
let drawn = null;
let awaited = false;
let slowAt = -Infinity;
let presence = "";
let wordsShown = "";
let spoken = { label: null, at: -Infinity };

client.addEventListener("hello", ({ detail }) => setUp(detail));
client.addEventListener("state", ({ detail }) => showState(detail.state));
client.addEventListener("result", ({ detail }) => {
  newest = detail;
  newestAt = seconds();
  timeline.push(detail, newestAt);
  latency.push(detail);
  mesh.crowd(detail.faces ?? []);
  requestShow();
});
// drawn with the next result: every further picture of the page costs more than the lines
client.addEventListener("landmarks", ({ detail }) => mesh.push(detail));
client.addEventListener("status", ({ detail }) => {
  if (detail.state === "ok" && rows[detail.modality]) rows[detail.modality].source = detail.detail;
  const about = MODALITY_NAMES[detail.modality];
  const hints = (detail.hints ?? []).map((hint) => HINTS[hint] ?? hint);
  setText(byId("notice"), [[about, detail.state, detail.detail].filter(Boolean).join(": "), ...hints].join(" · "));
});

function setUp(hello) {
  ends = hello.sentiment;
  drawn = null;
  presence = "";
  bars = makeBars(byId("bars"), hello.classes);
  rows = makeModalities(hello.modalities, hello.sources ?? {});
  latency.setUp();
  const names = Object.fromEntries(hello.modalities.map((name) => [name, MODALITY_NAMES[name] ?? name]));
  timeline.setUp(hello.classes, names, hello.sentiment);
  setText(byId("model"), `${hello.server} · ${hello.checkpoint} on ${hello.engine} · up to ${hello.rate} results a second`);
}

function makeModalities(names, sources) {
  byId("modalities").replaceChildren();
  return Object.fromEntries(
    names.map((name) => {
      const row = element("li", "modality", { "data-modality": name, "data-present": "false" });
      const parts = ["sign", "name", "old", "why", "track", "share", "fill"];
      const nodes = Object.fromEntries(parts.map((part) => [part, element("span", part)]));
      nodes.sign.textContent = SIGNS[name] ?? "•";
      nodes.sign.setAttribute("aria-hidden", "true");
      nodes.name.textContent = MODALITY_NAMES[name] ?? name;
      nodes.old.classList.add("num");
      nodes.share.classList.add("num");
      nodes.track.append(nodes.fill);
      row.append(nodes.sign, nodes.name, nodes.old, nodes.why, nodes.track, nodes.share);
      byId("modalities").append(row);
      return [name, { row, ...nodes, source: sources[name] ?? "" }];
    }),
  );
}

// Everything is drawn in one picture of the page: each one more costs as much as all that is in it.
function requestShow() {
  if (!awaited) requestAnimationFrame(show);
  awaited = true;
}

function show() {
  awaited = false;
  if (newest !== null && newest !== drawn) showAnswer();
  if (mesh.news) mesh.draw();
  if (seconds() - slowAt >= REDRAW_SECONDS) showRest();
}

function showAnswer() {
  drawn = newest;
  const { emotions, label, confidence, sentiment } = newest;
  setBars(bars, emotions, label);
  setText(byId("label"), label ?? "no score");
  byId("label").dataset.label = label ?? "";
  setText(byId("confidence"), confidence === null ? "" : percent(confidence));
  setText(byId("sentiment"), sentiment ? signed(sentiment.value) : "–");
  setText(byId("interval"), sentiment ? `80 % interval ${signed(sentiment.low)} to ${signed(sentiment.high)}` : "");
  setScale(byId("scale"), sentiment, ends);
  showTranscript(newest.transcript);
  const there = Object.values(newest.modalities).map(({ present, reason }) => `${present}${reason}`).join();
  if (there !== presence) showModalities(newest.modalities);
  presence = there;
}

// What nobody reads ten times a second.
function showRest() {
  slowAt = seconds();
  const age = newestAt === null ? null : slowAt - newestAt;
  document.body.classList.toggle("late", age !== null && age > LATE_SECONDS);
  setText(byId("age"), age === null ? "no result yet" : age > LATE_SECONDS ? `last result ${age.toFixed(0)} s ago` : "up to date");
  latency.show();
  timeline.draw(slowAt);
  showFace();
  if (newest === null) return;
  showModalities(newest.modalities);
  setText(byId("explanation"), explain(newest));
  setText(byId("person"), newest.profile ? `profile ${newest.profile}` : "");
  showCapturing();
  speak(newest.label);
}

function explain({ modalities }) {
  const present = Object.keys(modalities).filter((name) => modalities[name].present);
  if (present.length === 0) return "No words, voice or face to go by.";
  return `From ${present.map((name) => (MODALITY_NAMES[name] ?? name).toLowerCase()).join(", ")}.`;
}

function showModalities(states) {
  for (const [name, row] of Object.entries(rows)) {
    const state = states[name];
    if (!state) continue;
    row.row.dataset.present = String(state.present);
    row.row.dataset.reason = state.reason ?? "";
    const source = row.source || (name === "text" && newest.transcript.asr) || "present";
    setText(row.why, state.present ? source : reasonText(state.reason));
    if (row.why.title !== row.why.textContent) row.why.title = row.why.textContent;
    setText(row.old, state.age_ms === null ? "" : `${ageText(state.age_ms)} old`);
    setText(row.share, state.present ? `contributes ${percent(state.contribution)}` : "");
    row.fill.style.transform = `scaleX(${state.present ? state.contribution : 0})`;
  }
}

function showTranscript({ committed, partial, asr }) {
  const words = [committed, partial, asr].join("\n");
  if (words === wordsShown) return;
  wordsShown = words;
  setText(byId("transcript-committed"), committed);
  setText(byId("transcript-partial"), partial);
  setText(byId("asr"), asr ? `by ${asr}` : "");
  byId("transcript").classList.toggle("spoken", Boolean(committed || partial));
  byId("transcript").scrollTop = byId("transcript").scrollHeight;
}

// The sign stands for as long as anything is being listened to or looked at, found or not.
function showCapturing() {
  const on = ["vision", "audio"].filter((name) => {
    const state = newest?.modalities[name];
    return state && !["off", "device_lost", "failed"].includes(state.reason);
  });
  const names = on.map((name) => rows[name]?.source || { audio: "microphone", vision: "camera" }[name]);
  const sign = byId("capturing");
  // what has no time of day is a recording
  const verb = newest?.time === null ? "Showing" : "Capturing";
  const captured = pause.paused ? "Paused: nothing is captured" : on.length ? `${verb} ${[...new Set(names)].join(" and ")}` : "";
  const text = [captured, recording.text].filter(Boolean).join(", ");
  sign.hidden = !text || client.state !== "ready";
  sign.dataset.paused = String(pause.paused);
  sign.dataset.recording = String(Boolean(recording.running));
  setText(sign.querySelector(".text"), text);
}

// Screen readers hear a change of the answer, and no more than one every few seconds.
function speak(label) {
  if (label === spoken.label || seconds() - spoken.at < SPEAK_SECONDS) return;
  spoken = { label, at: seconds() };
  setText(byId("spoken"), label ?? "no score");
}

function showState(state) {
  byId("connection").dataset.state = state;
  setText(byId("connection"), CONNECTION_TEXT[state]);
  byId("token-form").hidden = state !== "refused";
  if (state === "refused") byId("token").focus();
  showCapturing();
}

function showFace() {
  const face = newest?.modalities.vision;
  if (mesh.stale) mesh.draw();
  const own = mesh.current ? "Lines between 478 points; no picture is sent." : face?.present ? "" : reasonText(face?.reason);
  setText(byId("mesh-reading"), [own, everybody(newest?.faces ?? [])].join(" ").trim());
}

// Each face in words, where several are followed and more than one is there.
function everybody(faces) {
  if (faces.length < 2) return "";
  const told = faces.map((face) => {
    const score = face.label === null ? "no score" : `${face.label} ${percent(face.confidence)}`;
    return `face ${face.id}${face.primary ? ", shown" : ""}${face.speaking ? ", speaking" : ""}: ${score}`;
  });
  return `In the picture: ${told.join("; ")}.`;
}

function readOff() {
  const point = timeline.read(seconds());
  if (!point) return;
  const { emotions, sentiment, modalities } = point.result;
  const ranked = Object.entries(emotions ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const shares = ranked.map(([name, share]) => `${name} ${percent(share)}`).join(", ") || "no score";
  const there = Object.keys(modalities).filter((name) => modalities[name].present).map((name) => MODALITY_NAMES[name]);
  const mood = sentiment ? `, sentiment ${signed(sentiment.value)}` : "";
  setText(byId("timeline-reading"), `${point.ago.toFixed(0)} s ago: ${shares}${mood} · ${there.join(", ") || "nothing present"}`);
}

function moveCursor(to) {
  timeline.cursor = to;
  timeline.draw(seconds());
  readOff();
}

byId("timeline").addEventListener("pointermove", (event) => moveCursor(timeline.cursorFrom(event.clientX)));
byId("timeline").addEventListener("pointerleave", () => moveCursor(null));
byId("timeline").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1 / 120, ArrowRight: 1 / 120, PageUp: -0.1, PageDown: 0.1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  moveCursor(Math.min(Math.max((timeline.cursor ?? 1) + step, 0), 1));
});
byId("hold").addEventListener("click", ({ target }) => {
  timeline.hold(timeline.held === null ? seconds() : null);
  target.setAttribute("aria-pressed", String(timeline.held !== null));
  timeline.draw(seconds());
});
switchTheme(() => {
  timeline.readColours();
  mesh.readColours();
  timeline.draw(seconds());
  mesh.draw();
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  client.useToken(byId("token").value.trim());
});
new ResizeObserver(() => timeline.draw(seconds())).observe(byId("timeline"));
// with results it goes along with the next one
setInterval(() => newestAt !== null && seconds() - newestAt < 0.3 || requestShow(), 1000 * REDRAW_SECONDS);
