// Pause, choice of devices, light or dark.

import { byId, element, setText } from "./parts.js";

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

export class Devices {
  #client;
  #selects = ["camera", "microphone"].map(byId);

  constructor(client) {
    this.#client = client;
    byId("devices-open").addEventListener("click", () => this.#open());
    byId("devices-close").addEventListener("click", () => byId("devices").close());
    byId("devices-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use();
    });
  }

  async #open() {
    this.#fill([]);
    byId("devices").showModal();
    await this.#try(async () => this.#fill((await this.#client.request("list_devices")).devices));
  }

  #fill(devices) {
    for (const select of this.#selects) {
      const found = devices.filter(({ kind }) => kind === select.id);
      const options = found.map(({ identifier, name }) => [identifier, name]);
      select.replaceChildren(
        ...[["", options.length ? "as it is" : "none found"], ...options].map(([value, text]) =>
          Object.assign(element("option", "", { value }), { textContent: text }),
        ),
      );
    }
  }

  async #use() {
    const chosen = this.#selects.filter(({ value }) => value);
    const asked = chosen.map(({ id, value }) => this.#client.request("choose_device", { kind: id, identifier: value }));
    if (await this.#try(() => Promise.all(asked))) byId("devices").close();
  }

  async #try(act) {
    setText(byId("devices-refusal"), "");
    try {
      await act();
      return true;
    } catch (error) {
      setText(byId("devices-refusal"), error.detail ?? error.message);
      return false;
    }
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
