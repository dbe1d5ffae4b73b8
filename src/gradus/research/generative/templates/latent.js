"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);

function floats(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

// -- decoding: the decoder's own weights, or a grid of decodings made beforehand ------------------------------------

function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const y = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - y * Math.exp(-x * x));
}
const sigmoid = x => 1 / (1 + Math.exp(-x));
const softplus = x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const UNITS = {
  relu: x => Math.max(x, 0), leaky_relu: x => x > 0 ? x : 0.01 * x, elu: x => x > 0 ? x : Math.expm1(x),
  gelu: x => 0.5 * x * (1 + erf(x / Math.SQRT2)), silu: x => x * sigmoid(x), tanh: Math.tanh, sigmoid, softplus,
  identity: x => x,
};

const layers = (page.layers || []).map(l => ({ weight: floats(l.weight), bias: floats(l.bias) }));
function outputs(code) {
  let values = Float64Array.from(code);
  layers.forEach((layer, depth) => {
    const next = new Float64Array(layer.bias.length), wide = values.length;
    for (let i = 0; i < next.length; i++) {
      let sum = layer.bias[i];
      for (let j = 0; j < wide; j++) sum += layer.weight[i * wide + j] * values[j];
      next[i] = depth < layers.length - 1 ? UNITS[page.activation](sum) : sum;
    }
    values = next;
  });
  return values;
}

const rule = page.rule;
const location_ = rule.location && floats(rule.location), scale = rule.scale && floats(rule.scale);
const READ = {
  bernoulli: a => a.map(x => rule.full * sigmoid(x)),
  gaussian: a => a.slice(0, page.size).map((x, i) => location_[i] + scale[i] * x),
  squashed: a => a.slice(0, page.size).map((x, i) => location_[i] + scale[i] * sigmoid(x)),
  discretized_logistic: a => a.slice(0, page.size).map(x => Math.min(rule.top, Math.max(0, (x + 1) * rule.top / 2))),
  categorical: a => {
    let low = 0;
    return rule.values.map(known => {
      const part = Array.from(a.slice(low, low += known.length));
      return known[part.indexOf(Math.max(...part))];
    });
  },
};

const grid = page.grid && floats(page.grid.rows);
function fromGrid(code) {  // between the four nearest decodings
  const g = page.grid, last = g.steps - 1;
  const place = v => Math.min(last, Math.max(0, (v + g.reach) / (2 * g.reach) * last));
  const x = place(code[0]), y = place(code[1]);
  const i = Math.min(last - 1, Math.floor(x)), j = Math.min(last - 1, Math.floor(y)), s = x - i, t = y - j;
  const cell = (a, b) => grid.subarray((b * g.steps + a) * page.size, (b * g.steps + a + 1) * page.size);
  const [p, q, r, u] = [cell(i, j), cell(i + 1, j), cell(i, j + 1), cell(i + 1, j + 1)];
  return Array.from(p, (v, n) => (1 - t) * ((1 - s) * v + s * q[n]) + t * ((1 - s) * r[n] + s * u[n]));
}
const decode = code => Array.from(grid ? fromGrid(code) : READ[rule.kind](outputs(code)));

// -- the map ----------------------------------------------------------------------------------------------------------

const points = floats(page.points), width = page.width, count = points.length / width;
const map = at("map"), pen = map.getContext("2d"), side = map.width, margin = 26;
const hues = page.classes.map((_, i) => `hsl(${Math.round(i * 360 / page.classes.length)} 65% 50%)`);
const wanted = new URLSearchParams(window.location.hash.slice(1)).get("z");
let code = page.home.slice(), across = page.axes[0], up = page.axes[1];
if (wanted && wanted.split(",").length === width) code = wanted.split(",").map(Number);

let reach = 3, spacing = 1;
const px = v => margin + (v + reach) / (2 * reach) * (side - 2 * margin);
const py = v => side - px(v);
const back = p => (p - margin) / (side - 2 * margin) * 2 * reach - reach;
const ink = name => getComputedStyle(document.documentElement).getPropertyValue(name);

function drawMap() {
  reach = page.near;
  for (let n = 0; n < count; n++)
    reach = Math.max(reach, Math.abs(points[n * width + across]), Math.abs(points[n * width + up]));
  reach = Math.min(Math.max(reach, 1e-6), page.grid ? page.grid.reach : page.far);
  const rough = reach / 6, ten = 10 ** Math.floor(Math.log10(rough));
  spacing = reach <= 12 && reach >= 3 ? 1 : ten * [1, 2, 5, 10].find(m => ten * m >= rough);
  pen.clearRect(0, 0, side, side);
  pen.strokeStyle = ink("--line"); pen.fillStyle = ink("--soft"); pen.font = "12px sans-serif";
  for (let k = -Math.floor(reach / spacing); k * spacing <= reach; k++) {
    const v = Number((k * spacing).toPrecision(6));
    pen.beginPath(); pen.moveTo(px(v), margin); pen.lineTo(px(v), side - margin);
    pen.moveTo(margin, py(v)); pen.lineTo(side - margin, py(v)); pen.stroke();
    if (k % 2 === 0) { pen.fillText(v, px(v) - 4, side - 8); pen.fillText(v, 6, py(v) + 4); }
  }
  for (let n = 0; n < count; n++) {
    pen.fillStyle = page.labels ? hues[page.labels[n]] : ink("--accent");
    pen.globalAlpha = 0.6;
    pen.beginPath(); pen.arc(px(points[n * width + across]), py(points[n * width + up]), 2.5, 0, 7); pen.fill();
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 2.5; pen.strokeStyle = ink("--ink"); pen.fillStyle = ink("--paper");
  pen.beginPath(); pen.arc(px(code[across]), py(code[up]), 8, 0, 7); pen.fill(); pen.stroke(); pen.lineWidth = 1;
}

// -- what is decoded ----------------------------------------------------------------------------------------------------

const picture = at("picture");
function drawRow() {
  const row = decode(code);
  if (page.picture) {
    const [height, wide, channels] = page.picture;
    picture.width = wide; picture.height = height;
    const image = picture.getContext("2d").createImageData(wide, height), [low, high] = page.range;
    for (let i = 0; i < height * wide; i++) {
      for (let c = 0; c < 3; c++) {
        const value = row[i * channels + (channels >= 3 ? c : 0)];
        image.data[4 * i + c] = 255 * (value - low) / (high - low);
      }
      image.data[4 * i + 3] = 255;
    }
    picture.getContext("2d").putImageData(image, 0, 0);
  } else {
    at("columns").replaceChildren(...row.map((value, i) => {
      const line = document.createElement("tr");
      for (const text of [page.names[i], value.toPrecision(4)]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        line.append(cell);
      }
      return line;
    }));
  }
  at("code").textContent = "code " + code.map(v => v.toFixed(2)).join(", ");
  at("numbers").textContent = row.map(v => Number(v.toPrecision(7))).join(" ");
}
function show() { drawMap(); drawRow(); }

function move(event, whole) {
  const box = map.getBoundingClientRect(), ratio = side / box.width;
  const x = (event.clientX - box.left) * ratio, y = (event.clientY - box.top) * ratio;
  const onRing = Math.hypot(px(code[across]) - x, py(code[up]) - y) < 10;  // which is dragged as it is
  if (whole && width > 2 && !onRing) {  // a row of the data brings the rest of its code along
    let best = 36, found = -1;
    for (let n = 0; n < count; n++) {
      const d = (px(points[n * width + across]) - x) ** 2 + (py(points[n * width + up]) - y) ** 2;
      if (d < best) [best, found] = [d, n];
    }
    if (found >= 0) code = Array.from(points.subarray(found * width, (found + 1) * width));
  }
  code[across] = Math.min(reach, Math.max(-reach, back(x)));
  code[up] = Math.min(reach, Math.max(-reach, back(side - y)));
  show();
}
let held = false;
map.addEventListener("pointerdown", e => { held = true; map.setPointerCapture(e.pointerId); move(e, true); });
map.addEventListener("pointermove", e => { if (held) move(e, false); });
map.addEventListener("pointerup", () => { held = false; });
map.addEventListener("keydown", e => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
  if (!step) return;
  e.preventDefault();
  code[across] = Math.min(reach, Math.max(-reach, code[across] + step[0] * reach / 40));
  code[up] = Math.min(reach, Math.max(-reach, code[up] + step[1] * reach / 40));
  show();
});
at("home").addEventListener("click", () => { code = page.home.slice(); show(); });

for (const [id, chosen, set] of [["across", across, v => { across = v; }], ["up", up, v => { up = v; }]]) {
  for (let i = 0; i < width; i++) at(id).add(new Option(`number ${i + 1}`, i, false, i === chosen));
  at(id).addEventListener("change", e => { set(Number(e.target.value)); show(); });
}
page.classes.forEach((name, i) => {
  const entry = document.createElement("span");
  entry.textContent = name;
  entry.style.setProperty("--dot", hues[i]);
  at("legend").append(entry);
});
if (!page.picture) picture.remove();
show();
