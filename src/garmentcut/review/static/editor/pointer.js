import { byId } from "../page/page.js";

/**
 * @import { Stage } from "./stage.js"
 */

const WHEEL_ZOOM = 0.0015; // one notch (120) zooms by a fifth
const PEN_ERASER = 32; // PointerEvent.buttons for the eraser end of a pen

/**
 * Mouse, pen and touch on the canvas: passes events to the tool, or moves the photo. Space or the middle button pans, the
 * wheel zooms at the pointer, two fingers do both. Dispatches `place` when the pointer has moved.
 */
export class Pointer extends EventTarget {
  #isSpaceDown = false;
  /** @type {"" | "paint" | "pan" | "pinch"} */
  #doing = "";
  /** Pointers that are down, on the canvas. @type {Map<number, {x: number, y: number}>} */
  #down = new Map();
  /** Where the pointer is, in pixels of the photo. @type {{x: number, y: number}} */
  place = { x: -1, y: -1 };

  /** @param {Stage} stage @param {() => import("./tools.js").Tool} currentTool */
  constructor(stage, currentTool) {
    super();
    this.stage = stage;
    this.currentTool = currentTool;
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.#release(event));
    }
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    addEventListener("keydown", (event) => {
      const isFree = !(event.target instanceof HTMLElement) || !event.target.matches("input, textarea, select, button, summary");
      if (event.key !== " " || !isFree || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      this.#setSpace(true);
    });
    addEventListener("keyup", (event) => event.key === " " && this.#setSpace(false));
    addEventListener("blur", () => this.#setSpace(false));
    // Alt alone would open the browser's menu, which takes the next key.
    for (const kind of ["keydown", "keyup"]) addEventListener(kind, (event) => event.key === "Alt" && event.preventDefault());
  }

  #setSpace(isDown) {
    this.#isSpaceDown = isDown;
    this.stage.canvas.classList.toggle("pans", isDown);
  }

  #press(event) {
    const { canvas, photo } = this.stage;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, this.#place(event));
    if (this.#down.size === 2 && event.pointerType === "touch") {
      if (this.#doing === "paint") this.currentTool().cancel();
      this.#doing = "pinch";
    } else if (event.button === 1 || this.#isSpaceDown) this.#doing = "pan";
    else if (photo && (event.button === 0 || event.buttons & PEN_ERASER) && !this.#doing) {
      this.#doing = "paint";
      this.currentTool().begin(this.#touchOf(event));
    }
  }

  #move(event) {
    const touch = this.#touchOf(event);
    this.place = touch;
    this.dispatchEvent(new Event("place"));
    if (this.#doing === "paint") {
      const passed = event.getCoalescedEvents?.() ?? [];
      this.currentTool().move((passed.length ? passed : [event]).map((part) => this.#touchOf(part)));
    } else if (this.#doing) this.#moveView(event);
    else this.currentTool().hover(touch);
    if (this.#down.has(event.pointerId)) this.#down.set(event.pointerId, this.#place(event));
  }

  #moveView(event) {
    const before = this.#down.get(event.pointerId);
    if (!before) return;
    const now = this.#place(event);
    const other = this.#doing === "pinch" ? [...this.#down].find(([id]) => id !== event.pointerId)?.[1] : null;
    const { viewport } = this.stage;
    const share = other ? 0.5 : 1;
    viewport.pan((now.x - before.x) * share, (now.y - before.y) * share);
    if (other) {
      const grown = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
      viewport.zoomTo(viewport.scale * grown, { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    }
    this.stage.viewChanged();
  }

  #release(event) {
    if (!this.#down.delete(event.pointerId)) return;
    const was = this.#doing;
    if (this.#down.size === 0 || was === "paint") this.#doing = "";
    if (was !== "paint") return;
    if (event.type === "pointercancel") this.currentTool().cancel();
    else this.currentTool().end();
  }

  #wheel(event) {
    event.preventDefault();
    const { viewport } = this.stage;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1;
    if (event.shiftKey) viewport.pan(-(event.deltaX + event.deltaY) * lines, 0);
    else viewport.zoomTo(viewport.scale * Math.exp(-event.deltaY * lines * WHEEL_ZOOM * (event.ctrlKey ? 5 : 1)), this.#place(event));
    this.stage.viewChanged();
  }

  /** In pixels of the canvas. @param {MouseEvent} event */
  #place(event) {
    const frame = this.stage.canvas.getBoundingClientRect();
    const perPixel = this.stage.canvas.width / Math.max(1, frame.width);
    return { x: (event.clientX - frame.left) * perPixel, y: (event.clientY - frame.top) * perPixel };
  }

  #touchOf(event) {
    const { x, y } = this.stage.viewport.toPhoto(this.#place(event));
    const pressure = event.pointerType === "pen" ? event.pressure : 1;
    return { x, y, pressure, shift: event.shiftKey, alt: event.altKey || event.ctrlKey || (event.buttons & PEN_ERASER) > 0 };
  }
}

/** The circle at the pointer that shows the size of the brush. */
export class Cursor {
  #circle = byId("cursor");
  #isRound = false;

  constructor(stage) {
    this.stage = stage;
    stage.canvas.addEventListener("pointermove", () => this.#draw());
    stage.canvas.addEventListener("pointerleave", () => this.#draw());
  }

  /** @param {boolean} isRound @param {number} size pixels of the photo */
  show(isRound, size) {
    this.#isRound = isRound && this.stage.photo !== null; // before one is there, its scale is not known
    const diameter = Math.max(3, (size * this.stage.scaleAtPointer) / devicePixelRatio);
    this.#circle.style.width = this.#circle.style.height = `${diameter}px`;
    this.stage.canvas.classList.toggle("round", this.#isRound && diameter > 8);
    this.#draw();
  }

  #draw() {
    const { spot } = this.stage;
    this.#circle.hidden = !this.#isRound || !spot;
    if (spot) this.#circle.style.transform = `translate(${spot.x / devicePixelRatio}px, ${spot.y / devicePixelRatio}px) translate(-50%, -50%)`;
  }
}
