import { byId } from "../page/elements.js";

/**
 * The brush's circle at the pointer, as large as what it paints.
 */
export class Cursor {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.circle = byId("cursor");
    this.place = { x: -1, y: -1 };
    stage.canvas.addEventListener("pointermove", (event) => this.#moveTo(event));
    stage.canvas.addEventListener("pointerleave", () => (this.circle.hidden = true));
  }

  /** @param {{isRound: boolean, size: number}} brush */
  show({ isRound, size }) {
    this.isRound = isRound;
    const diameter = Math.max(3, (size * this.stage.viewport.scale) / devicePixelRatio);
    this.circle.style.width = this.circle.style.height = `${diameter}px`;
    this.stage.canvas.classList.toggle("round", isRound && diameter > 8);
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #moveTo(event) {
    const frame = this.stage.canvas.getBoundingClientRect();
    this.place = { x: event.clientX - frame.left, y: event.clientY - frame.top };
    this.#draw();
  }

  #draw() {
    this.circle.hidden = !this.isRound || this.place.x < 0;
    this.circle.style.transform = `translate(${this.place.x}px, ${this.place.y}px) translate(-50%, -50%)`;
  }
}
