import { byId } from "../page/elements.js";
import { bounded, keepSettings, nextSize, SIZE_RANGE } from "./settings.js";

/**
 * Sliders of size, hardness and strength, and the keys that move them.
 */
export class BrushPanel {
  /** @param {import("./settings.js").Settings} settings @param {() => void} changed */
  constructor(settings, changed) {
    this.settings = settings;
    this.changed = changed;
    this.size = /** @type {HTMLInputElement} */ (byId("brush-size"));
    this.hardness = /** @type {HTMLInputElement} */ (byId("brush-hardness"));
    this.strength = /** @type {HTMLInputElement} */ (byId("brush-strength"));
    // The slider goes by the root, so that small brushes, which need care, have most of the way.
    this.size.oninput = () => this.set({ size: Math.max(1, Math.round((Number(this.size.value) / 100) ** 2 * SIZE_RANGE[1])) });
    this.hardness.oninput = () => this.set({ hardness: Number(this.hardness.value) / 100 });
    this.strength.oninput = () => this.set({ strength: Number(this.strength.value) / 100 });
    this.set({});
  }

  /** @param {Partial<import("./settings.js").Settings>} change */
  set(change) {
    Object.assign(this.settings, change);
    const { size, hardness, strength } = this.settings;
    this.size.value = String(Math.sqrt(size / SIZE_RANGE[1]) * 100);
    this.hardness.value = String(hardness * 100);
    this.strength.value = String(strength * 100);
    this.#write("brush-size-value", this.size, `${size} px`);
    this.#write("brush-hardness-value", this.hardness, `${Math.round(hardness * 100)} %`);
    this.#write("brush-strength-value", this.strength, `${Math.round(strength * 100)} %`);
    keepSettings(this.settings);
    this.changed();
  }

  /** @param {1 | -1} direction */
  resize(direction) {
    this.set({ size: nextSize(this.settings.size, direction) });
  }

  /** @param {1 | -1} direction */
  harden(direction) {
    this.set({ hardness: bounded(Math.round(this.settings.hardness * 10 + direction) / 10, 0, 1) });
  }

  /** @param {string} id @param {HTMLInputElement} slider @param {string} text */
  #write(id, slider, text) {
    byId(id).textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }
}
