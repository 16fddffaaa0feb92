const IDLE_S = 15;

/**
 * Hands-on seconds: the time between one sign of life and the next, while the page is seen. A pause counts for fifteen
 * seconds, the time it takes to look a photo over, and no more.
 */
export class Clock {
  /** @param {() => number} [now_ms] */
  constructor(now_ms = () => performance.now()) {
    this.now_ms = now_ms;
    this.counted = 0;
    this.last_ms = now_ms();
    this.isSeen = true;
  }

  /** Begin with another photo. @param {number} [seconds] spent on it before, and not yet stored */
  start(seconds = 0) {
    this.counted = seconds;
    this.last_ms = this.now_ms();
    this.isSeen = true;
  }

  /** Something was done: a key, a stroke, a move. */
  tick() {
    const now_ms = this.now_ms();
    if (this.isSeen) this.counted += Math.min(IDLE_S, (now_ms - this.last_ms) / 1000);
    this.last_ms = now_ms;
    this.isSeen = true;
  }

  /** The page is no longer seen. */
  hide() {
    this.tick();
    this.isSeen = false;
  }

  /** The page is seen again. */
  show() {
    this.last_ms = this.now_ms();
    this.isSeen = true;
  }

  /** Seconds up to now. */
  get seconds() {
    const pause = this.isSeen ? Math.min(IDLE_S, (this.now_ms() - this.last_ms) / 1000) : 0;
    return this.counted + pause;
  }
}

/** Let a clock see what is done on this page. @param {Clock} clock */
export function watchActivity(clock) {
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) {
    addEventListener(kind, () => clock.tick(), { passive: true, capture: true });
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? clock.hide() : clock.show()));
}
