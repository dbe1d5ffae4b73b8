"use strict";
{
  // Inside a page the frame is drawn before it has its size. `fit`, `bring`, `drawMap` and `marked` are the viewer's own.
  let moved = false;
  for (const kind of ["pointerdown", "wheel", "keydown"]) addEventListener(kind, () => { moved = true; }, { capture: true });
  new ResizeObserver(() => {
    if (moved || typeof fit !== "function" || typeof bring !== "function") return;
    if (typeof drawMap === "function") drawMap();
    fit();
    if (typeof marked !== "undefined" && marked) bring(marked);
  }).observe(document.getElementById("canvas"));
}
