import { announce, byId, element } from "../page/page.js";
import { askBlob } from "../page/server.js";
import { drawHeat, LOOKS } from "./looks.js";

/**
 * The controls around the canvas: brush sliders, backgrounds, before/after, doubt, zoom; and settings stored in this browser.
 *
 * @typedef {object} Settings of the brushes and of the view; the same for all photos
 * @property {number} size diameter of the brush in pixels of the photo
 * @property {number} hardness in [0, 1]
 * @property {number} strength in [0, 1]: how much of the way to garment or background a stroke goes
 * @property {string} look
 * @property {string} ground of its own, `#rrggbb`
 */

const KEY = "garmentcut-editor";
const FIRST = { size: 24, hardness: 0.8, strength: 1, look: "checks", ground: "#808080" };
const LARGEST = 600;

/** The settings stored in this browser. @returns {Settings} */
export function loadSettings() {
  try {
    return { ...FIRST, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...FIRST };
  }
}

function keepSettings(settings) {
  localStorage.setItem(KEY, JSON.stringify(settings));
}

function bounded(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** The sliders: the value at a position in [0, 1], the position of a value, and the value in words. */
const SHARE = { read: (place) => place, place: (share) => share, text: (share) => `${Math.round(share * 100)} %` };
const SIZE = {
  // A square root scale, so that small brushes, which need precision, take up most of the slider.
  read: (place) => Math.max(1, Math.round(place ** 2 * LARGEST)),
  place: (size) => Math.sqrt(size / LARGEST),
  text: (size) => `${size} px`,
};
const SLIDERS = Object.entries({ size: SIZE, hardness: SHARE, strength: SHARE });

/** Sliders of size, hardness and strength, and the keys that move them. */
export class BrushPanel {
  constructor(settings, changed) {
    this.settings = settings;
    this.changed = changed;
    for (const [name, { read }] of SLIDERS) byId(`brush-${name}`).oninput = ({ target }) => this.set({ [name]: read(target.value / 100) });
    this.set({});
  }

  set(change) {
    Object.assign(this.settings, change);
    for (const [name, { place, text }] of SLIDERS) {
      const [slider, value] = [byId(`brush-${name}`), this.settings[name]];
      slider.value = String(place(value) * 100);
      slider.ariaValueText = byId(`brush-${name}-value`).textContent = text(value);
    }
    keepSettings(this.settings);
    this.changed();
  }

  /** The next larger or smaller brush: by a pixel while it is small, then by an eighth. @param {1 | -1} direction */
  resize(direction) {
    const { size } = this.settings;
    this.set({ size: bounded(size + direction * Math.max(1, Math.round(size / 8)), 1, LARGEST) });
  }

  harden(direction) {
    this.set({ hardness: bounded(Math.round(this.settings.hardness * 10 + direction) / 10, 0, 1) });
  }
}

/** Grounds, doubt and zoom. */
export class ViewBar {
  #showsHeat = false;

  constructor(easel, split) {
    this.easel = easel;
    this.stage = easel.stage;
    this.split = split;
    const buttons = LOOKS.map(({ name, label }) => {
      const kind = name === "own" ? { type: "color", value: easel.settings.ground, oninput: () => this.#chooseGround() } : { type: "button" };
      const named = { title: label, "aria-label": label, "data-command": `look-${name}` };
      return element(`${name === "own" ? "input" : "button"}.look.look-${name}`, { ...kind, ...named });
    });
    byId("looks").replaceChildren(...buttons);
    this.#chooseGround(easel.settings.ground);
    this.setLook(easel.settings.look);
  }

  setLook(name) {
    const look = LOOKS.find((one) => one.name === name) ?? LOOKS[0];
    this.stage.setLook(look);
    this.easel.settings.look = look.name;
    keepSettings(this.easel.settings);
    for (const button of byId("looks").children) {
      button.ariaPressed = String(button.classList.toggle("chosen", button.matches(`.look-${look.name}`)));
    }
  }

  /** The person's own background colour. @param {string} [color] `#rrggbb`; what was picked, if none is named */
  #chooseGround(color) {
    const own = LOOKS.find(({ name }) => name === "own");
    const chosen = color ?? document.querySelector(".look-own").value;
    own.ground = [1, 3, 5].map((start) => parseInt(chosen.slice(start, start + 2), 16));
    this.easel.settings.ground = chosen;
    if (!color) this.setLook(own.name);
  }

  turnLook(direction) {
    this.setLook(LOOKS.at((LOOKS.indexOf(this.stage.look) + direction) % LOOKS.length).name);
    announce(this.stage.look.label);
  }

  /** A photo was opened; settings that are on stay on. */
  async follow() {
    await this.split.apply();
    if (this.#showsHeat && this.easel.photo) await this.#loadHeat();
  }

  async turnHeat() {
    this.#showsHeat = !this.#showsHeat;
    byId("heat-button").ariaPressed = String(this.#showsHeat);
    this.stage.heat = null;
    this.stage.redraw();
    if (this.#showsHeat) await this.#loadHeat();
  }

  async #loadHeat() {
    const { photo } = this.easel;
    const address = photo?.item.urls.heat;
    const heat = address ? await askBlob(address).then(drawHeat).catch(() => null) : null;
    if (!heat) return announce("The model gave no map of its doubt for this photo.");
    if (this.easel.photo !== photo || !this.#showsHeat) return;
    this.stage.heat = heat;
    this.stage.redraw();
  }

  /** @param {number | "garment" | "photo"} zoom a scale, or what shall fit */
  zoom(zoom) {
    if (typeof zoom === "string") this.stage.viewport.fit(zoom);
    else this.stage.viewport.zoomTo(zoom);
    this.stage.viewChanged();
  }

  showZoom() {
    const percent = this.stage.viewport.scale * 100;
    byId("zoom").textContent = this.stage.photo ? `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %` : "";
  }
}

/** The before/after slider: the photo or the prediction left of its line, the current alpha right of it. */
export class SplitView {
  #handle = byId("split-handle");
  #share = 0.5;
  /** @type {"off" | "photo" | "prediction"} */
  #shows = "off";

  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    const handle = this.#handle;
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", ({ pointerId, clientX }) => {
      const frame = stage.canvas.getBoundingClientRect();
      if (handle.hasPointerCapture(pointerId)) this.#setShare((clientX - frame.left) / frame.width);
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (!step) return;
      event.preventDefault(); // the arrows would go to another photo
      this.#setShare(this.#share + step);
    });
  }

  /** Go to the next of off, photo, prediction. */
  async turn() {
    if (!this.stage.photo) return;
    this.#shows = this.#shows === "off" ? "photo" : this.#shows === "photo" ? "prediction" : "off";
    await this.apply();
    byId("split-button").ariaPressed = String(this.#shows !== "off");
    announce({ off: "Before and after: off", photo: "Left: the photo", prediction: "Left: the first prediction" }[this.#shows]);
  }

  /** Apply the setting to the open photo. */
  async apply() {
    const { photo } = this.stage;
    const before = this.#shows === "prediction" && photo ? await photo.predicted() : null;
    if (!photo || this.stage.photo !== photo) return;
    this.stage.setSplit(this.#shows === "off" ? null : { share: this.#share, before });
    this.#handle.hidden = this.#shows === "off";
    byId("split-label").textContent = this.#shows === "photo" ? "Photo" : "Prediction";
    this.#setShare(this.#share);
  }

  #setShare(share) {
    this.#share = bounded(share, 0, 1);
    if (this.stage.split) this.stage.setSplit({ ...this.stage.split, share: this.#share });
    this.#handle.style.left = `${this.#share * 100}%`;
    this.#handle.setAttribute("aria-valuenow", String(Math.round(this.#share * 100)));
  }
}
