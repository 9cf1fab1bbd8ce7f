// Atoms as balls and bonds as sticks on a canvas: drag turns, the wheel or two fingers zoom, a double
// click resets. Orthographic; what is nearer is drawn later.
"use strict";
for (const box of document.querySelectorAll(".viewer")) {
  const data = JSON.parse(document.getElementById(box.dataset.structure).textContent);
  const canvas = box.querySelector("canvas"), paint = canvas.getContext("2d");
  const n = data.kind.length, at = data.positions.map(x => x / 100), cell = data.cell;
  const corners = [];
  if (cell) for (let k = 0; k < 8; k++) corners.push([0, 1, 2].map(c => cell[0][c] * (k & 1) + cell[1][c] * (k >> 1 & 1) + cell[2][c] * (k >> 2)));
  const center = [0, 1, 2].map(c => {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < n; i++) { low = Math.min(low, at[3 * i + c]); high = Math.max(high, at[3 * i + c]); }
    for (const corner of corners) { low = Math.min(low, corner[c]); high = Math.max(high, corner[c]); }
    return (low + high) / 2;
  });
  let reach = 1.5;
  for (let i = 0; i < n; i++) reach = Math.max(reach, 1.2 + Math.hypot(at[3 * i] - center[0], at[3 * i + 1] - center[1], at[3 * i + 2] - center[2]));
  for (const corner of corners) reach = Math.max(reach, Math.hypot(...corner.map((x, c) => x - center[c])));

  // Sticks go from an atom half the way to its neighbour: [dx, dy, dz] by atom.
  const sticks = Array.from({ length: n }, () => []);
  for (let k = 0; k < data.sticks.length; k += 4) sticks[data.sticks[k]].push(data.sticks.slice(k + 1, k + 4).map(x => x / 100));

  const largest = data.charges ? Math.max(1e-9, ...data.charges.map(Math.abs)) : 1;
  const chargeColor = q => {
    const x = Math.max(-1, Math.min(1, q / largest)), fade = Math.round(235 * (1 - Math.abs(x)));
    return x > 0 ? [fade, fade + 10, 245] : [245, fade + 10, fade];
  };
  let byCharge = false;
  const colorOf = i => byCharge ? chargeColor(data.charges[i]) : data.colors[data.kind[i]];
  const css = (color, light) => `rgb(${color.map(x => Math.round(light >= 0 ? x + (255 - x) * light : x * (1 + light))).join(",")})`;
  const sprites = new Map();
  const spriteOf = color => {
    const key = color.join();
    if (!sprites.has(key)) {
      const ball = document.createElement("canvas"), size = 96, p = ball.getContext("2d");
      ball.width = ball.height = size;
      const shade = p.createRadialGradient(.36 * size, .34 * size, .04 * size, size / 2, size / 2, size / 2);
      shade.addColorStop(0, css(color, .75)); shade.addColorStop(.45, css(color, 0)); shade.addColorStop(1, css(color, -.55));
      p.fillStyle = shade; p.beginPath(); p.arc(size / 2, size / 2, size / 2 - 1, 0, 2 * Math.PI); p.fill();
      sprites.set(key, ball);
    }
    return sprites.get(key);
  };

  const start = [[1, 0, 0], [0, .26, .966], [0, -.966, .26]];   // along b, a little from above
  const turned = (m, axis, angle) => {
    const [i, j] = axis === "y" ? [0, 2] : [1, 2], s = Math.sin(angle), c = Math.cos(angle), r = m.map(row => row.slice());
    for (let k = 0; k < 3; k++) { r[i][k] = c * m[i][k] + s * m[j][k]; r[j][k] = -s * m[i][k] + c * m[j][k]; }
    return r;
  };
  const initial = () => turned(start, "y", -.35);
  let turn = initial(), zoom = 1, waiting = false;
  const seen = (x, y, z) => turn.map(row => row[0] * x + row[1] * y + row[2] * z);

  function draw() {
    waiting = false;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, width, height);
    const scale = zoom * .56 * Math.min(width, height) / reach;
    const place = (x, y, z) => { const p = seen(x - center[0], y - center[1], z - center[2]); return [width / 2 + scale * p[0], height / 2 - scale * p[1], p[2]]; };
    if (cell) {
      paint.strokeStyle = "#9aa0a6"; paint.lineWidth = 1; paint.beginPath();
      for (let k = 0; k < 8; k++) for (const bit of [1, 2, 4]) if (!(k & bit)) {
        const a = place(...corners[k]), b = place(...corners[k | bit]);
        paint.moveTo(a[0], a[1]); paint.lineTo(b[0], b[1]);
      }
      paint.stroke();
    }
    const places = new Array(n), order = new Array(n);
    for (let i = 0; i < n; i++) { places[i] = place(at[3 * i], at[3 * i + 1], at[3 * i + 2]); order[i] = i; }
    order.sort((i, j) => places[i][2] - places[j][2]);
    paint.lineCap = "round"; paint.lineWidth = Math.max(1, .16 * scale);
    for (const i of order) {
      const [x, y] = places[i], r = scale * data.radii[data.kind[i]], color = colorOf(i);
      if (sticks[i].length) {
        paint.strokeStyle = css(color, -.25); paint.beginPath();
        for (const stick of sticks[i]) { const d = seen(...stick); paint.moveTo(x, y); paint.lineTo(x + scale * d[0], y - scale * d[1]); }
        paint.stroke();
      }
      paint.drawImage(spriteOf(color), x - r, y - r, 2 * r, 2 * r);
    }
  }
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };

  const fingers = new Map();
  canvas.addEventListener("pointerdown", e => { canvas.setPointerCapture(e.pointerId); fingers.set(e.pointerId, e); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, e => fingers.delete(e.pointerId));
  canvas.addEventListener("pointermove", e => {
    const before = fingers.get(e.pointerId);
    if (!before) return;
    if (fingers.size === 1) turn = turned(turned(turn, "y", (before.clientX - e.clientX) / 150), "x", (before.clientY - e.clientY) / 150);
    else {
      const other = [...fingers.values()].find(f => f.pointerId !== e.pointerId);
      const far = f => Math.hypot(f.clientX - other.clientX, f.clientY - other.clientY);
      zoom *= far(e) / Math.max(1, far(before));
    }
    fingers.set(e.pointerId, e); redraw();
  });
  canvas.addEventListener("wheel", e => { e.preventDefault(); zoom = Math.max(.2, Math.min(40, zoom * Math.exp(-e.deltaY / 500))); redraw(); }, { passive: false });
  const reset = () => { turn = initial(); zoom = 1; redraw(); };
  canvas.addEventListener("dblclick", reset);
  const views = { x: [[0, 1, 0], [0, 0, 1], [1, 0, 0]], y: [[-1, 0, 0], [0, 0, 1], [0, 1, 0]], z: [[1, 0, 0], [0, 1, 0], [0, 0, 1]] };
  for (const button of box.querySelectorAll("button")) button.addEventListener("click", () => {
    const what = button.dataset.view;
    if (what === "charge") { byCharge = !byCharge; button.textContent = byCharge ? "color by element" : "color by charge"; redraw(); }
    else if (what === "reset") reset();
    else { turn = views[what].map(row => row.slice()); redraw(); }
  });
  window.addEventListener("resize", redraw);
  window.addEventListener("beforeprint", draw);
  draw();
}
