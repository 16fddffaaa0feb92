/**
 * @typedef {import("./tools/tool.js").Tool} Tool
 * @typedef {import("./tools/tool.js").Touch} Touch
 */

const WHEEL_ZOOM = 0.0015; // a notch of 120 zooms by a fifth
const PEN_ERASER = 32; // PointerEvent.buttons of a pen turned over

/**
 * Mouse, pen and fingers on the canvas: what the tool gets to know, and what moves the photo. Space or the middle button
 * pans, the wheel zooms where the pointer is, two fingers do both.
 */
export class Pointer {
  /** @param {import("./stage.js").Stage} stage @param {() => Tool} currentTool */
  constructor(stage, currentTool) {
    this.stage = stage;
    this.currentTool = currentTool;
    this.isSpaceDown = false;
    /** @type {"" | "paint" | "pan" | "pinch"} */
    this.doing = "";
    /** Pointers that are down, on the canvas. @type {Map<number, {x: number, y: number}>} */
    this.down = new Map();
    /** Called with each place of the pointer, in pixels of the photo. @type {(touch: Touch) => void} */
    this.onplace = () => undefined;
    /** Called when the photo was moved or zoomed. @type {() => void} */
    this.onview = () => undefined;
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
      canvas.addEventListener(end, (event) => this.#release(event));
    }
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.#watchSpace();
  }

  #watchSpace() {
    addEventListener("keydown", (event) => {
      const isFree = !(event.target instanceof HTMLElement) || !event.target.matches("input, textarea, select, button, summary");
      if (event.key !== " " || !isFree || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      this.#setSpace(true);
    });
    addEventListener("keyup", (event) => event.key === " " && this.#setSpace(false));
    addEventListener("blur", () => this.#setSpace(false));
    // Alt alone would open the browser's menu and take the next key.
    for (const kind of ["keydown", "keyup"]) addEventListener(kind, (event) => /** @type {KeyboardEvent} */ (event).key === "Alt" && event.preventDefault());
  }

  /** @param {boolean} isDown */
  #setSpace(isDown) {
    this.isSpaceDown = isDown;
    this.stage.canvas.classList.toggle("pans", isDown);
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const { canvas } = this.stage;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.#place(event));
    if (this.down.size === 2 && event.pointerType === "touch") {
      if (this.doing === "paint") this.currentTool().cancel();
      this.doing = "pinch";
    } else if (event.button === 1 || this.isSpaceDown) this.doing = "pan";
    else if ((event.button === 0 || event.buttons & PEN_ERASER) && !this.doing) {
      this.doing = "paint";
      this.currentTool().begin(this.#touchOf(event));
    }
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const touch = this.#touchOf(event);
    this.onplace(touch);
    if (this.doing === "paint") {
      const passed = event.getCoalescedEvents?.() ?? [];
      this.currentTool().move((passed.length ? passed : [event]).map((part) => this.#touchOf(part)));
    } else if (this.doing) this.#moveView(event);
    else this.currentTool().hover(touch);
    if (this.down.has(event.pointerId)) this.down.set(event.pointerId, this.#place(event));
  }

  /** @param {PointerEvent} event */
  #moveView(event) {
    const before = this.down.get(event.pointerId);
    if (!before) return;
    const now = this.#place(event);
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    const { viewport } = this.stage;
    const share = this.doing === "pinch" && other ? 0.5 : 1;
    viewport.pan((now.x - before.x) * share, (now.y - before.y) * share);
    if (share < 1 && other) {
      const grown = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
      viewport.zoomTo(viewport.scale * grown, { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    }
    this.#viewChanged();
  }

  /** @param {PointerEvent} event */
  #release(event) {
    if (!this.down.delete(event.pointerId)) return;
    const was = this.doing;
    if (this.down.size === 0) this.doing = "";
    if (was !== "paint") return;
    this.doing = "";
    if (event.type === "pointercancel") this.currentTool().cancel();
    else this.currentTool().end();
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const { viewport } = this.stage;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1;
    if (event.shiftKey) viewport.pan(-(event.deltaX + event.deltaY) * lines, 0);
    else viewport.zoomTo(viewport.scale * Math.exp(-event.deltaY * lines * WHEEL_ZOOM * (event.ctrlKey ? 5 : 1)), this.#place(event));
    this.#viewChanged();
  }

  #viewChanged() {
    this.stage.redraw();
    this.onview();
  }

  /** In pixels of the canvas. @param {MouseEvent} event */
  #place(event) {
    const frame = this.stage.canvas.getBoundingClientRect();
    const perPixel = this.stage.canvas.width / Math.max(1, frame.width);
    return { x: (event.clientX - frame.left) * perPixel, y: (event.clientY - frame.top) * perPixel };
  }

  /** @param {PointerEvent} event @returns {Touch} */
  #touchOf(event) {
    const { x, y } = this.stage.viewport.toPhoto(this.#place(event));
    const pressure = event.pointerType === "pen" ? event.pressure : 1;
    return { x, y, pressure, shift: event.shiftKey, alt: event.altKey || event.ctrlKey || (event.buttons & PEN_ERASER) > 0 };
  }
}
