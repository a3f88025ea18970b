// Counts the seconds in which the page is in sight, in focus and in use: no key, pointer or scroll for half a minute
// means that nobody reads. Starts from what an earlier visit of the same task had counted.

const IDLE_AFTER_MS = 30_000;
const EVERY_MS = 1_000;
const SIGNS = ["keydown", "pointermove", "pointerdown", "wheel", "scroll", "touchmove"];

export function startClock(seconds = 0) {
  let counted = seconds * 1000;
  let lastSign = performance.now();
  let lastTick = lastSign;
  const sign = () => {
    tick();
    lastSign = performance.now();
  };

  // A computer that slept gives one long tick, of which no more counts than up to the moment of being idle.
  function tick() {
    const now = performance.now();
    const until = Math.min(now, lastSign + IDLE_AFTER_MS);
    if (!document.hidden && document.hasFocus()) counted += Math.max(0, until - lastTick);
    lastTick = now;
  }

  const timer = setInterval(tick, EVERY_MS);
  for (const name of SIGNS) addEventListener(name, sign, { passive: true, capture: true });

  return {
    seconds() {
      tick();
      return Math.round(counted / 100) / 10;
    },
    stop() {
      clearInterval(timer);
      for (const name of SIGNS) removeEventListener(name, sign, { capture: true });
    },
  };
}
