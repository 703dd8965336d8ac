// The table of latencies by stage: now, and p50 and p95 of the last results.

import { ageText, byId, element, setText } from "./parts.js";

const STAGES = { text: "words", audio: "voice", vision: "face", score: "network", total: "newest signal" };
const KEPT = 600;

// Words that are over are old, which is no delay of ours.
function delayOf({ latency_ms, modalities }, stage) {
  if (stage === "text" && !(modalities.audio?.present && modalities.text?.present)) return null;
  return latency_ms?.[stage] ?? null;
}

function quantile(sorted, share) {
  return sorted.length ? sorted[Math.ceil(share * sorted.length) - 1] : null;
}

export class LatencyTable {
  #newest = {};
  #past = Object.fromEntries(Object.keys(STAGES).map((stage) => [stage, []]));
  #cells = {};

  setUp() {
    byId("latency").replaceChildren();
    for (const [stage, text] of Object.entries(STAGES)) {
      const row = element("tr", "", { "data-stage": stage });
      const head = element("th", "", { scope: "row" });
      head.textContent = text;
      this.#cells[stage] = ["now", "p50", "p95"].map(() => element("td"));
      row.append(head, ...this.#cells[stage]);
      byId("latency").append(row);
    }
  }

  push(result) {
    for (const [stage, past] of Object.entries(this.#past)) {
      this.#newest[stage] = delayOf(result, stage);
      if (this.#newest[stage] !== null && past.push(this.#newest[stage]) > KEPT) past.shift();
    }
  }

  show() {
    for (const [stage, [now, p50, p95]] of Object.entries(this.#cells)) {
      const sorted = [...this.#past[stage]].sort((a, b) => a - b);
      setText(now, ageText(this.#newest[stage]));
      setText(p50, ageText(quantile(sorted, 0.5)));
      setText(p95, ageText(quantile(sorted, 0.95)));
    }
  }
}
