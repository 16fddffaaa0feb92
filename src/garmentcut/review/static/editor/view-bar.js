import { byId, element } from "../page/elements.js";
import { insist } from "../page/connection.js";
import { announce } from "../page/messages.js";
import { askBlob } from "../page/server.js";
import { drawHeat } from "./heat.js";
import { LOOKS } from "./looks.js";
import { keepSettings } from "./settings.js";

/**
 * Grounds, before/after, doubt, zoom: how the photo is looked at.
 */
export class ViewBar {
  /**
   * @param {import("./easel.js").Easel} easel
   * @param {import("./split.js").SplitView} split
   * @param {() => void} zoomed
   */
  constructor(easel, split, zoomed) {
    this.easel = easel;
    this.stage = easel.stage;
    this.split = split;
    this.zoomed = zoomed;
    this.showsHeat = false;
    byId("looks").replaceChildren(...LOOKS.map((look) => this.#buttonOf(look)));
    this.setLook(LOOKS.find((look) => look.name === easel.settings.look) ?? LOOKS[0]);
  }

  /** @param {import("./looks.js").Look} look */
  #buttonOf(look) {
    const button = element(`button.look.look-${look.name}`, { type: "button", title: look.label, "aria-label": look.label });
    button.dataset.command = `look-${look.name}`;
    return button;
  }

  /** @param {import("./looks.js").Look} look */
  setLook(look) {
    this.stage.setLook(look);
    this.easel.settings.look = look.name;
    keepSettings(this.easel.settings);
    for (const button of byId("looks").children) {
      button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.command === `look-${look.name}`));
    }
  }

  /** @param {1 | -1} direction */
  turnLook(direction) {
    const place = LOOKS.indexOf(this.stage.look) + direction;
    this.setLook(LOOKS[(place + LOOKS.length) % LOOKS.length]);
    announce(this.stage.look.label);
  }

  /** A photo was opened: what was switched on stays on. */
  async follow() {
    const { photo } = this.easel;
    if (!photo) return;
    await this.split.apply(photo);
    if (this.showsHeat) await this.#loadHeat();
  }

  async turnSplit() {
    const { photo } = this.easel;
    if (!photo) return;
    const shows = await this.split.next(photo);
    byId("split-button").setAttribute("aria-pressed", String(shows !== "off"));
    announce({ off: "Before and after: off", photo: "Left: the photo", prediction: "Left: the first prediction" }[shows]);
  }

  async turnHeat() {
    this.showsHeat = !this.showsHeat;
    if (this.showsHeat) await this.#loadHeat();
    else this.stage.heat = null;
    byId("heat-button").setAttribute("aria-pressed", String(this.showsHeat));
    this.stage.redraw();
  }

  async #loadHeat() {
    const { photo } = this.easel;
    const address = photo?.item.urls.heat;
    if (!photo || !address) return announce("The model gave no map of its doubt for this photo.");
    const heat = await insist(() => askBlob(address)).then(drawHeat).catch(() => null);
    if (!heat) return announce("The model gave no map of its doubt for this photo.");
    if (this.easel.photo !== photo || !this.showsHeat) return;
    this.stage.heat = heat;
    this.stage.redraw();
  }

  /** @param {number | "garment" | "photo"} zoom a scale, or what shall fit @param {{x: number, y: number}} [anchor] */
  zoom(zoom, anchor) {
    if (typeof zoom === "string") this.stage.viewport.fit(zoom);
    else this.stage.viewport.zoomTo(zoom, anchor);
    this.stage.redraw();
    this.zoomed();
  }

  showZoom() {
    if (!this.stage.picture) return void (byId("zoom").textContent = "");
    const percent = this.stage.viewport.scale * 100;
    byId("zoom").textContent = `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
  }
}
