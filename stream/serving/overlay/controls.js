// Pause, devices, light or dark.

import { byId, setText } from "./parts.js";

export class Pause {
  #client;
  #changed;

  constructor(client, changed) {
    this.#client = client;
    this.#changed = changed;
    this.paused = false;
    byId("pause").addEventListener("click", () => this.#toggle());
    client.addEventListener("status", ({ detail }) => {
      if (detail.modality === null && ["paused", "running", "behind"].includes(detail.state)) this.#set(detail.state === "paused");
    });
  }

  async #toggle() {
    try {
      this.#set((await this.#client.request(this.paused ? "resume" : "pause")).paused);
    } catch (error) {
      setText(byId("notice"), error.message);
    }
  }

  #set(paused) {
    if (paused === this.paused) return;
    this.paused = paused;
    setText(byId("pause"), paused ? "Resume" : "Pause");
    this.#changed();
  }
}

export function switchTheme(redraw) {
  byId("theme").addEventListener("click", () => {
    const light = getComputedStyle(document.documentElement).colorScheme === "light";
    document.documentElement.dataset.theme = light ? "dark" : "light";
    redraw();
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", redraw);
}
