import { byId } from "../page/elements.js";
import { bounded } from "./settings.js";

/**
 * The before/after slider: left of its line the photo, or the prediction as it was; right of it the work.
 */
export class SplitView {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.handle = byId("split-handle");
    this.label = byId("split-label");
    this.share = 0.5;
    /** @type {"off" | "photo" | "prediction"} */
    this.shows = "off";
    this.handle.addEventListener("pointerdown", (event) => this.handle.setPointerCapture(event.pointerId));
    this.handle.addEventListener("pointermove", (event) => this.handle.hasPointerCapture(event.pointerId) && this.#dragTo(event.clientX));
    this.handle.addEventListener("keydown", (event) => this.#step(event));
  }

  /** Off, photo, prediction, off. @param {import("./photo.js").OpenPhoto} photo */
  async next(photo) {
    this.shows = this.shows === "off" ? "photo" : this.shows === "photo" ? "prediction" : "off";
    await this.apply(photo);
    return this.shows;
  }

  /** Show what is chosen for a photo just opened. @param {import("./photo.js").OpenPhoto} photo */
  async apply(photo) {
    const before = this.shows === "prediction" ? await photo.predicted() : null;
    if (this.stage.picture !== photo) return;
    this.stage.setSplit(this.shows === "off" ? null : { share: this.share, before });
    this.handle.hidden = this.shows === "off";
    this.label.textContent = this.shows === "photo" ? "Photo" : "Prediction";
    this.#place();
  }

  /** @param {number} clientX */
  #dragTo(clientX) {
    const frame = this.stage.canvas.getBoundingClientRect();
    this.#setShare((clientX - frame.left) / frame.width);
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!step) return;
    event.preventDefault(); // the arrows would go to another photo
    this.#setShare(this.share + step);
  }

  /** @param {number} share */
  #setShare(share) {
    this.share = bounded(share, 0, 1);
    if (this.stage.split) this.stage.setSplit({ ...this.stage.split, share: this.share });
    this.#place();
  }

  #place() {
    this.handle.style.left = `${this.share * 100}%`;
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.share * 100)));
  }
}
