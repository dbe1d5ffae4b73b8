"use strict";
// The viewer: the plan of the graph comes from Python; positions are computed here by the same steps as in layout.py.
const data = JSON.parse(document.getElementById("graph").textContent);
const { picture, labels, levels, opened } = data;
const nodes = picture.nodes, groups = new Map(picture.groups.map(g => [g.key, g]));
const edges = [...new Map(picture.edges.map(e => [`${e.source}>${e.target}`, e])).values()];
const open = new Set(opened);
const state = { step: 0, chosen: null, show: "values", zoom: 1, x: 0, y: 0, timer: 0 };
const GAP_X = 26, GAP_Y = 34, GAP_PORT = 12, PAD = 16, HEAD = 30, BEND = 10, LIGHT = 0.001;
const $ = id => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const one = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}
function html(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) name === "onclick" ? (one.onclick = value) : one.setAttribute(name, value);
  one.append(...children.filter(c => c !== null));
  return one;
}

// ---- words for numbers ----
function number(v, digits = 4) {
  if (v === null || v === undefined) return "–";
  if (typeof v === "string") return v;
  if (v !== 0 && (Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3)) return v.toExponential(Math.max(0, digits - 2)).replace("e+", "e");
  return String(Number(v.toPrecision(digits)));
}
function seconds(v) {
  if (v === null || v === undefined) return "–";
  return v < 1e-3 ? `${number(v * 1e6, 3)} µs` : v < 1 ? `${number(v * 1e3, 3)} ms` : `${number(v, 3)} s`;
}
function bytes(v) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let k = 0;
  while (v >= 1024 && k < 3) { v /= 1024; k += 1; }
  return `${number(v, 3)} ${units[k]}`;
}
function short(v) {
  if (!v) return "";
  const broken = v.broken ? `${v.broken} not finite` : "";
  if (v.mean === null) return broken;
  if (!v.shape.length) return `= ${number(v.mean)}`;
  return `${number(v.mean, 3)} ± ${number(v.spread, 3)}${broken ? `, ${broken}` : ""}`;
}
const shape = s => (s.length ? s.join(" × ") : "a number");

// ---- positions: as in layout.py ----
for (const level of Object.values(levels)) {
  level.chain = new Map(level.chains.map(([a, u, bends]) => [`${a}:${u}`, bends]));
  level.count = new Map(level.links.map(([a, b, u, count]) => [`${a}>${b}:${u}`, count]));
  level.bends = (a, b, u) => (level.chain.get(`${a}:${u}`) || []).slice(0, level.count.get(`${a}>${b}:${u}`));
  level.above = new Map(); level.below = new Map();
  const seen = new Set();
  const step = (p, q) => {
    if (seen.has(`${p}>${q}`)) return;
    seen.add(`${p}>${q}`);
    (level.above.get(q) || level.above.set(q, []).get(q)).push(p);
    (level.below.get(p) || level.below.set(p, []).get(p)).push(q);
  };
  for (const [a, , bends] of level.chains) bends.forEach((bend, k) => step(k ? bends[k - 1] : a, bend));
  for (const [a, b, u, count] of level.links) step(count ? level.chain.get(`${a}:${u}`)[count - 1] : a, b);
  level.weight = item => ("bio".includes(item[0]) ? (item[0] === "b" ? LIGHT : 1) : item[0] === "n" && !["operation", "input"].includes(labels[item].kind) ? LIGHT : 1);
}
const isOpen = item => item[0] === "g" && open.has(item.slice(1));
function chain(group) {
  const found = [group];
  while (found[0]) found.unshift(groups.get(found[0]).parent);
  return found;
}
function route(u, v) {
  const out = chain(nodes[u].group), into = chain(nodes[v].group);
  let common = 0;
  while (common + 1 < out.length && common + 1 < into.length && out[common + 1] === into[common + 1]) common += 1;
  let a = `n${u}`, b = `n${v}`;
  const leaving = [], entering = [];
  for (let k = out.length - 1; k > common; k--) { leaving.push([out[k], a, `o${u}`]); a = `g${out[k]}`; }
  for (let k = into.length - 1; k > common; k--) { entering.unshift([into[k], `i${u}`, b]); b = `g${into[k]}`; }
  return [...leaving, [out[common], a, b], ...entering];
}
const routes = edges.map(e => route(e.source, e.target));

function apart(wanted, widths, weights) {
  const offsets = [], blocks = [];
  let at = 0;
  widths.forEach((w, k) => { at += k ? w / 2 : 0; offsets.push(at); at += w / 2 + GAP_X; });
  wanted.forEach((want, k) => {
    blocks.push([want - offsets[k], weights[k], 1]);
    while (blocks.length > 1 && blocks[blocks.length - 2][0] > blocks[blocks.length - 1][0]) {
      const [mean, mass, count] = blocks.pop(), before = blocks[blocks.length - 1];
      before[0] = (before[0] * before[1] + mean * mass) / (before[1] + mass);
      before[1] += mass; before[2] += count;
    }
  });
  return blocks.flatMap(([mean, , count]) => Array(count).fill(mean)).map((mean, k) => mean + offsets[k]);
}

function arranged(level, size, least, outermost) {
  const x = new Map();
  for (const layer of level.layers) {
    let at = 0;
    for (const item of layer) { const w = size(item)[0]; x.set(item, at + w / 2); at += w + GAP_X; }
    for (const item of layer) x.set(item, x.get(item) - (at - GAP_X) / 2);
  }
  for (const sweep of ["down", "up", "down", "up", "both", "down"]) {
    for (const layer of sweep === "up" ? [...level.layers].reverse() : level.layers) {
      const wanted = layer.map(item => {
        let near = [...(sweep !== "up" ? level.above.get(item) || [] : []), ...(sweep !== "down" ? level.below.get(item) || [] : [])];
        if (near.some(q => level.weight(q) === 1)) near = near.filter(q => level.weight(q) === 1);
        return near.length ? near.reduce((sum, q) => sum + x.get(q), 0) / near.length : x.get(item);
      });
      apart(wanted, layer.map(i => size(i)[0]), layer.map(level.weight)).forEach((spot, k) => x.set(layer[k], spot));
    }
  }
  const ends = new Map();
  for (const layer of level.layers) if (layer.length > 1) ends.set(layer[0], Math.min).set(layer[layer.length - 1], Math.max);
  for (const [, , bends] of level.chains) {
    const side = ends.get(bends[0]);
    if (bends.length < 2 || !side || bends.some(bend => ends.get(bend) !== side)) continue;
    const straight = side(...bends.map(bend => x.get(bend)));
    for (const bend of bends) x.set(bend, straight);
  }
  let left = Infinity, right = -Infinity;
  for (const [item, at] of x) { const w = size(item)[0]; left = Math.min(left, at - w / 2); right = Math.max(right, at + w / 2); }
  if (!x.size) left = right = 0;
  const pad = outermost ? GAP_X : PAD;
  const wide = Math.max(right - left + 2 * pad, least);
  left -= (wide - (right - left)) / 2;
  let y = outermost ? GAP_X : HEAD;
  const at = new Map();
  const heights = level.layers.map(layer => layer.reduce((most, i) => Math.max(most, size(i)[1]), 0));
  level.layers.forEach((layer, k) => {
    const tall = heights[k];
    for (const item of layer) {
      const room = "gn".includes(item[0]) ? tall - size(item)[1] : 0;
      const lift = level.weight(item) === LIGHT ? room : room / 2;
      at.set(item, [x.get(item) - left, y + lift, y, y + tall]);
    }
    y += tall + (k === heights.length - 1 ? 0 : tall && heights[k + 1] ? GAP_Y : GAP_PORT);
  });
  return { at, width: wide, height: y + pad };
}

function place() {
  const inside = new Map(), boxes = new Map(), origins = new Map();
  const size = item => isOpen(item) ? [inside.get(item.slice(1)).width, inside.get(item.slice(1)).height]
    : "gn".includes(item[0]) ? [labels[item].w, labels[item].h] : [item[0] === "b" ? BEND : 1, 0];
  (function arrange(key) {
    for (const item of levels[key].layers.flat()) if (isOpen(item)) arrange(item.slice(1));
    inside.set(key, arranged(levels[key], size, key ? labels[`g${key}`].caption : 0, !key));
  })("");
  (function settle(key, x, y) {
    origins.set(key, [x, y]);
    for (const item of levels[key].layers.flat()) {
      if (!"gn".includes(item[0])) continue;
      const [w, h] = size(item), [cx, top] = inside.get(key).at.get(item);
      boxes.set(item, [x + cx - w / 2, y + top, w, h]);
      if (isOpen(item)) settle(item.slice(1), x + cx - w / 2, y + top);
    }
  })("", 0, 0);
  const paths = [];
  edges.forEach((edge, number) => {
    const points = [];
    let from = null, to = null;
    for (const [key, a, b] of routes[number]) {
      if (!origins.has(key)) continue;
      const [ox, oy] = origins.get(key), { at } = inside.get(key);
      if (!points.length) {
        const [x, y, w, h] = boxes.get(a);
        points.push([x + w / 2, y + h]);
        from = a;
      }
      const last = points[points.length - 1];
      if ("gn".includes(a[0]) && oy + at.get(a)[3] > last[1]) points.push([last[0], oy + at.get(a)[3]]);
      for (const bend of levels[key].bends(a, b, edge.source)) {
        const [cx, , top, bottom] = at.get(bend);
        points.push([ox + cx, oy + top], [ox + cx, oy + bottom]);
      }
      if (b[0] === "o") { const [, y, , h] = boxes.get(`g${key}`); points.push([ox + at.get(b)[0], y + h]); continue; }
      const [x, y, w] = boxes.get(b);
      const into = x + (isOpen(b) ? inside.get(b.slice(1)).at.get(`i${edge.source}`)[0] : w / 2);
      if (oy + at.get(b)[2] < y) points.push([into, oy + at.get(b)[2]]);
      points.push([into, y]);
      if (!isOpen(b)) to = b;
    }
    if (points.length) paths.push({ from, to, edge, points });
  });
  return { boxes, paths, width: inside.get("").width, height: inside.get("").height };
}
function curve(points) {
  let [x, y] = points[0];
  const parts = [`M${x.toFixed(1)} ${y.toFixed(1)}`];
  for (const [nx, ny] of points.slice(1)) {
    const half = ((y + ny) / 2).toFixed(1), end = `${nx.toFixed(1)} ${ny.toFixed(1)}`;
    if (Math.abs(nx - x) >= 0.05) parts.push(`C${x.toFixed(1)} ${half} ${nx.toFixed(1)} ${half} ${end}`);
    else if (parts[parts.length - 1][0] === "L") parts[parts.length - 1] = `L${end}`;
    else parts.push(`L${end}`);
    [x, y] = [nx, ny];
  }
  return parts.join("");
}

// ---- drawing ----
const svg = $("canvas").querySelector("svg");
svg.removeAttribute("width"); svg.removeAttribute("height"); svg.removeAttribute("viewBox");
svg.replaceChildren(svg.querySelector("defs"));
const scene = svg.appendChild(make("g"));
let placed, drawn = new Map(), wires = [], units = [];

const holder = item => (item[0] === "n" ? nodes[+item.slice(1)] : nodes[labels[item].out]);
const members = item => {
  const key = item.slice(1);
  return item[0] === "n" ? [nodes[+key]] : nodes.filter(n => n.group === key || n.group.startsWith(`${key}/`));
};
const measure = {
  time: item => members(item).reduce((sum, n) => sum + (n.seconds || 0) + (n.backward_seconds || 0), 0),
  memory: item => members(item).filter(n => n.kind === "operation").reduce((sum, n) => sum + n.memory, 0),
};
const measured = new Map();
function amount(kind, item) {
  const key = kind + item;
  if (!measured.has(key)) measured.set(key, measure[kind](item));
  return measured.get(key);
}
function thirdLine(item, back) {
  const light = !["operation", "input", "group"].includes(labels[item].kind), node = holder(item);
  if (light && !back) return "";
  if (state.show === "time" && !state.step) return light ? "" : seconds(amount("time", item));
  if (state.show === "memory" && !state.step) return light ? "" : bytes(amount("memory", item));
  if (!node) return "";
  if (back) return node.gradient ? `∂ ${short(node.gradient)}` : light ? "" : "no gradient";
  return short(node.value);
}

function draw() {
  placed = place();
  scene.replaceChildren(); drawn = new Map(); wires = [];
  const frames = scene.appendChild(make("g")), lines = scene.appendChild(make("g")), boxes = scene.appendChild(make("g"));
  for (const [item, box] of placed.boxes) {
    const one = isOpen(item) ? frame(item, box) : node(item, box);
    one.dataset.item = item;
    (isOpen(item) ? frames : boxes).append(one);
    if (isOpen(item)) boxes.append(caption(item, box));
    drawn.set(item, one);
  }
  const known = new Map();
  for (const { from, to, edge, points } of placed.paths) {
    const d = curve(points);
    if (!known.has(d)) {
      const path = lines.appendChild(make("path", { class: "edge", d, "marker-end": "url(#head)" }));
      path.append(make("title", {}, document.createTextNode(shape(edge.shape))));
      known.set(d, { path, pairs: [] });
      wires.push(known.get(d));
    }
    known.get(d).pairs.push([from, to]);
  }
  const visible = [...placed.boxes.keys()].filter(i => !isOpen(i)).sort((a, b) => labels[a].last - labels[b].last);
  const forward = visible.filter(i => ["operation", "input", "group"].includes(labels[i].kind)).map(item => ({ item, back: false }));
  const backward = [...visible].reverse().filter(i => holder(i) && holder(i).gradient).map(item => ({ item, back: true }));
  units = [...forward, ...backward];
  units.forwards = forward.length;
  state.step = Math.min(state.step, units.length);
  $("slider").max = units.length;
  drawMap(); heat(); refresh();
}
function frame(item, [x, y, w, h]) {
  return make("g", labels[item].mark ? { class: "marked" } : {}, make("rect", { class: "open", x, y, width: w, height: h, rx: 10 }));
}
function caption(item, [x, y, w]) {
  const text = make("text", { class: "caption", x: x + 12, y: y + 19 }, document.createTextNode(labels[item].title));
  if (labels[item].mark) text.append(make("tspan", { class: "mark", dx: 8 }, document.createTextNode(labels[item].mark)));
  return make("g", { "data-item": item }, text, toggle(x + w - 20, y + 8, false));
}
function node(item, [x, y, w, h]) {
  const label = labels[item], group = label.kind === "group", light = !["operation", "input", "group"].includes(label.kind);
  const one = make("g", { class: `${group ? "" : label.kind} ${label.mark ? "marked" : ""}`, tabindex: "-1" });
  one.append(make("rect", { class: group ? "group" : "box", x, y, width: w, height: h, rx: light ? 17 : 7 }));
  const line = (name, text, down) => one.append(make("text", { class: name, x: x + w / 2, y: y + down, "text-anchor": "middle" }, document.createTextNode(text)));
  line("title", label.title, light ? 14 : 16); line("sub", label.sub, light ? 27 : 30); line("value", "", light ? 27 : 43);
  if (label.mark) line("mark", label.mark, light ? 42 : 58);
  if (group && levels[item.slice(1)].layers.length) one.append(toggle(x + w - 18, y + 5, true));
  return one;
}
function toggle(x, y, plus) {
  const d = `M${x + 3} ${y + 6}H${x + 9}${plus ? `M${x + 6} ${y + 3}V${y + 9}` : ""}`;
  return make("g", { class: "toggle" }, make("rect", { x, y, width: 12, height: 12, rx: 2 }), make("path", { d }));
}
function heat() {
  scene.querySelectorAll(".heat").forEach(one => one.remove());
  if (!measure[state.show]) return;
  const items = [...drawn.keys()].filter(i => !isOpen(i));
  const most = Math.max(...items.map(i => amount(state.show, i)), 1e-12);
  for (const item of items) {
    const [x, y, w, h] = placed.boxes.get(item), share = amount(state.show, item) / most;
    if (share > 0.004) drawn.get(item).firstChild.after(make("rect", { class: "heat", x, y, width: w, height: h, rx: 7, "fill-opacity": (0.6 * share).toFixed(3) }));
  }
}

function refresh() {
  const { step } = state, now = step ? units[step - 1] : null;
  const reached = new Map(units.slice(0, step).map(u => [u.item, u]));
  for (const [item, one] of drawn) {
    if (isOpen(item)) { one.classList.toggle("chosen", state.chosen === item); continue; }
    const light = !["operation", "input", "group"].includes(labels[item].kind), unit = reached.get(item);
    one.classList.toggle("waiting", Boolean(step) && !light && !unit);
    one.classList.toggle("now", now?.item === item);
    one.classList.toggle("back", Boolean(unit?.back));
    one.classList.toggle("chosen", state.chosen === item);
    const value = one.querySelector(".value"), sub = one.querySelector(".sub");
    const back = step ? Boolean(unit?.back) : state.show === "gradients";
    value.textContent = step && !unit ? "" : thirdLine(item, back);
    value.classList.toggle("back", back);
    if (light) sub.textContent = value.textContent ? "" : labels[item].sub;
  }
  for (const { path, pairs } of wires) {
    const live = now && pairs.some(([a, b]) => (now.back ? a : b) === now.item);
    path.classList.toggle("now", Boolean(live));
    path.classList.toggle("back", Boolean(live && now.back));
    path.classList.toggle("waiting", Boolean(step) && !live && pairs.every(([, b]) => !reached.has(b)));
    path.classList.toggle("lit", !now && state.chosen !== null && pairs.some(([a, b]) => a === state.chosen || b === state.chosen));
    live && now.back ? (path.removeAttribute("marker-end"), path.setAttribute("marker-start", "url(#back)")) : (path.setAttribute("marker-end", "url(#head)"), path.removeAttribute("marker-start"));
  }
  $("slider").value = step;
  const said = $("said");
  said.replaceChildren();
  if (!now) said.append(`${units.forwards} steps forwards, ${units.length - units.forwards} back: press ▶ or the arrow keys`);
  else {
    const node = holder(now.item), value = now.back ? node.gradient : node.value;
    said.append(html("b", now.back ? { class: "back" } : {}, now.back ? "backwards" : "forwards"), ` ${step} of ${units.length}: `);
    said.append(now.back ? "gradient at " : "", html("b", {}, labels[now.item].title), value ? ` ${short(value)}` : "");
  }
  $("first").disabled = $("previous").disabled = step === 0;
  $("next").disabled = $("last").disabled = step === units.length;
  panel(now && state.chosen === null ? now.item : state.chosen);
}

// ---- the panel ----
function panel(item) {
  const side = $("panel");
  side.replaceChildren();
  if (!item) return side.append(...overview());
  const label = labels[item], node = holder(item), group = item[0] === "g" ? groups.get(item.slice(1)) : null;
  side.append(html("h2", {}, group ? label.title : node.title));
  const mark = group ? group.mark : node.mark;
  if (mark) side.append(html("p", { class: "said" }, mark));
  const line = (text, kind = "soft") => text && side.append(html("p", { class: kind }, text));
  if (group) {
    line(group.path && group.path !== group.title ? group.path : "");
    const many = members(item).filter(n => n.kind === "operation").length;
    line(`${many} operation${many === 1 ? "" : "s"}, ${group.parameters.toLocaleString("en")} parameters`);
    side.append(html("p", {}, html("button", { onclick: () => flip(item) }, isOpen(item) ? "close" : "open")));
  } else {
    line({ input: "input", parameter: "parameter", buffer: "buffer", constant: "constant" }[node.kind] || "");
    if (node.detail) side.append(html("p", {}, html("code", {}, node.detail)));
    line(node.where && `called in ${node.where}`);
    line(node.group && groups.get(node.group).path && `in ${groups.get(node.group).path}`);
  }
  const took = members(item).reduce((sum, n) => [sum[0] + (n.seconds || 0), sum[1] + (n.backward_seconds || 0)], [0, 0]);
  if (took[0] || took[1]) line(`${seconds(took[0])} forwards, ${seconds(took[1])} backwards, ${bytes(amount("memory", item))} of output`);
  if (node) side.append(...statistics(node, group ? "its output" : ""));
  if (!group) {
    side.append(...ways("from", edges.filter(e => e.target === node.number).map(e => e.source)));
    side.append(...ways("to", edges.filter(e => e.source === node.number).map(e => e.target)));
  }
}
function overview() {
  const total = nodes.reduce((sum, n) => [sum[0] + (n.seconds || 0), sum[1] + (n.backward_seconds || 0), sum[2] + (n.kind === "operation" ? n.memory : 0)], [0, 0, 0]);
  const found = [html("h2", {}, picture.title), html("p", { class: "soft" }, `${seconds(total[0])} forwards, ${seconds(total[1])} backwards, ${bytes(total[2])} of outputs`)];
  for (const note of picture.notes) found.push(html("p", { class: "soft" }, note));
  const marks = [...nodes.filter(n => n.mark).map(n => [`n${n.number}`, n.mark]), ...picture.groups.filter(g => g.mark).map(g => [`g${g.key}`, g.mark])];
  if (marks.length) found.push(html("h3", {}, "marked"));
  for (const [item, text] of marks) found.push(html("p", { class: "said" }, html("a", { onclick: () => reveal(item) }, labels[item].title), ` ${text}`));
  found.push(html("h3", {}, "how to look"), html("p", { class: "soft" }, "Click a node for its numbers. Double-click a group, or its + and −, to open and close it. Drag to move, turn the wheel to zoom."));
  return found;
}
function statistics(node, what) {
  const { value, gradient } = node, found = [];
  if (!value) return found;
  found.push(html("h3", {}, what || "value", gradient ? " and gradient" : ""));
  const rows = [["shape", shape(value.shape)], ["type", value.dtype]];
  const table = html("table", {}, ...rows.map(([k, v]) => html("tr", {}, html("th", {}, k), html("td", { colspan: 2 }, v))));
  if (gradient) table.append(html("tr", {}, html("th", {}, ""), html("td", { class: "n" }, "value"), html("td", { class: "n back" }, "gradient")));
  const facts = [["mean", "mean"], ["spread", "spread"], ["least", "low"], ["largest", "high"], ["zeros", "zeros"], ["not finite", "broken"]];
  for (const [word, name] of facts) {
    const write = s => (!s ? null : html("td", { class: s === gradient ? "n back" : "n" }, name === "zeros" ? `${number(100 * s.zeros, 3)} %` : number(s[name])));
    table.append(html("tr", {}, html("th", {}, word), write(value), write(gradient)));
  }
  found.push(table, bars(value, "bars"));
  if (gradient) found.push(bars(gradient, "bars back"));
  for (const [title, s] of [["entries", value], ["entries of the gradient", gradient]]) {
    if (s && s.values !== null && s.shape.length) found.push(html("h3", {}, title), entries(s.values));
  }
  for (const other of node.others) found.push(html("p", { class: "soft" }, `further output of ${shape(other.shape)}: ${short(other)}`));
  return found;
}
function bars(s, name) {
  if (!s.histogram.length || s.low === s.high) return html("span");
  const most = Math.max(...s.histogram), w = 260 / s.histogram.length;
  const one = make("svg", { class: name, width: 260, height: 54, role: "img", "aria-label": "histogram" });
  s.histogram.forEach((count, k) => one.append(make("rect", { x: k * w, y: 40 - 40 * count / most, width: Math.max(1, w - 1), height: 40 * count / most })));
  one.append(make("text", { x: 0, y: 52, class: "sub" }, document.createTextNode(number(s.low, 3))), make("text", { x: 260, y: 52, class: "sub", "text-anchor": "end" }, document.createTextNode(number(s.high, 3))));
  return one;
}
function entries(values) {
  const flat = v => (Array.isArray(v) && Array.isArray(v[0]) ? v.flatMap(flat) : [v]);
  const rows = Array.isArray(values) ? (Array.isArray(values[0]) ? flat(values) : [values]) : [[values]];
  return html("div", { class: "numbers", tabindex: 0 }, html("table", {}, ...rows.map(row => html("tr", {}, ...row.map(v => html("td", {}, typeof v === "boolean" ? String(v) : number(v, 3)))))));
}
function ways(word, numbers) {
  if (!numbers.length) return [];
  const links = [...new Set(numbers)].map(n => html("div", {}, html("a", { onclick: () => reveal(`n${n}`) }, nodes[n].title), ` ${nodes[n].value ? shape(nodes[n].value.shape) : ""}`));
  return [html("h3", {}, word), ...links.slice(0, 30)];
}

// ---- moving about ----
function look() {
  scene.setAttribute("transform", `translate(${state.x.toFixed(2)} ${state.y.toFixed(2)}) scale(${state.zoom.toFixed(4)})`);
  const seen = $("map").querySelector(".seen");
  if (seen) for (const [name, v] of Object.entries({ x: -state.x / state.zoom, y: -state.y / state.zoom, width: svg.clientWidth / state.zoom, height: svg.clientHeight / state.zoom })) seen.setAttribute(name, v);
}
function fit() {
  const { clientWidth: w, clientHeight: h } = svg, zoom = Math.min(w / placed.width, h / placed.height, 1.3);
  state.zoom = Math.max(zoom, Math.min(0.85, w / placed.width));  // readable first, whole if it can be
  if (state.zoom < 0.2) state.zoom = Math.max(zoom, 0.2);
  state.x = (w - placed.width * state.zoom) / 2;
  state.y = zoom < state.zoom ? 4 : (h - placed.height * state.zoom) / 2;
  look();
}
function whole() {
  const { clientWidth: w, clientHeight: h } = svg;
  state.zoom = Math.min(w / placed.width, h / placed.height, 1.3);
  state.x = (w - placed.width * state.zoom) / 2; state.y = (h - placed.height * state.zoom) / 2;
  look();
}
function zoomAt(factor, cx, cy) {
  const zoom = Math.min(4, Math.max(0.02, state.zoom * factor)), k = zoom / state.zoom;
  state.x = cx - (cx - state.x) * k; state.y = cy - (cy - state.y) * k; state.zoom = zoom;
  look();
}
function bring(item) {
  const [x, y, w, h] = placed.boxes.get(item), left = x * state.zoom + state.x, top = y * state.zoom + state.y;
  const inX = left > 20 && left + w * state.zoom < svg.clientWidth - 20, inY = top > 20 && top + h * state.zoom < svg.clientHeight - 20;
  if (!inX) state.x = svg.clientWidth / 2 - (x + w / 2) * state.zoom;
  if (!inY) state.y = svg.clientHeight / 2 - (y + h / 2) * state.zoom;
  look();
}
function flip(item) {
  const key = item.slice(1), before = placed.boxes.get(item);
  open.has(key) ? open.delete(key) : open.add(key);
  draw();
  const after = placed.boxes.get(item);  // what was clicked stays under the pointer
  state.x += (before[0] + before[2] / 2 - after[0] - after[2] / 2) * state.zoom; state.y += (before[1] - after[1]) * state.zoom;
  look();
}
function reveal(item) {
  let key = item[0] === "n" ? nodes[+item.slice(1)].group : groups.get(item.slice(1)).parent;
  for (let changed = false; ; key = groups.get(key).parent) {
    if (!key) { if (changed) draw(); break; }
    if (!open.has(key)) { open.add(key); changed = true; }
  }
  state.chosen = item;
  refresh(); bring(item);
}
function go(step) {
  state.step = Math.min(units.length, Math.max(0, step));
  state.chosen = null;
  refresh();
  if (state.step) bring(units[state.step - 1].item);
}
function drawMap() {
  const map = $("map"), tall = placed.height > 1.15 * svg.clientHeight / 0.85 || placed.width > 1.15 * svg.clientWidth / 0.85;
  map.replaceChildren();
  map.style.display = tall ? "" : "none";
  const scale = Math.min(150 / placed.width, Math.max(180, svg.clientHeight - 20) / placed.height);
  map.setAttribute("width", Math.max(24, placed.width * scale)); map.setAttribute("height", placed.height * scale);
  map.setAttribute("viewBox", `0 0 ${placed.width} ${placed.height}`);
  map.setAttribute("preserveAspectRatio", "none");
  for (const [item, [x, y, width, height]] of placed.boxes) if (!isOpen(item)) map.append(make("rect", { class: labels[item].mark ? "spot bad" : "spot", x, y, width, height }));
  map.append(make("rect", { class: "seen" }));
}

let drag = null;
svg.addEventListener("pointerdown", event => { drag = { x: event.clientX, y: event.clientY, moved: false, id: event.pointerId }; });
svg.addEventListener("pointermove", event => {
  if (!drag) return;
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  if (!drag.moved) { drag.moved = true; svg.setPointerCapture(drag.id); svg.classList.add("moving"); }
  state.x += dx; state.y += dy; drag.x = event.clientX; drag.y = event.clientY;
  look();
});
svg.addEventListener("pointerup", event => {
  const moved = drag?.moved;
  drag = null; svg.classList.remove("moving");
  if (moved) return;
  const item = event.target.closest?.("[data-item]")?.dataset.item ?? null;
  if (item && event.target.closest(".toggle")) return flip(item);
  state.chosen = item;
  refresh();
});
svg.addEventListener("dblclick", event => {
  const item = event.target.closest?.("[data-item]")?.dataset.item;
  if (item?.[0] === "g" && !event.target.closest(".toggle")) flip(item);
});
svg.addEventListener("wheel", event => {
  event.preventDefault();
  const box = svg.getBoundingClientRect();
  zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
$("map").addEventListener("pointerdown", event => {
  const box = $("map").getBoundingClientRect();
  state.x = svg.clientWidth / 2 - (event.clientX - box.left) / box.width * placed.width * state.zoom;
  state.y = svg.clientHeight / 2 - (event.clientY - box.top) / box.height * placed.height * state.zoom;
  look();
});
document.addEventListener("keydown", event => {
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const act = { ArrowRight: () => go(state.step + 1), ArrowLeft: () => go(state.step - 1), Home: () => go(0), End: () => go(units.length), "+": () => zoomAt(1.25, svg.clientWidth / 2, svg.clientHeight / 2), "-": () => zoomAt(0.8, svg.clientWidth / 2, svg.clientHeight / 2), 0: whole, Escape: () => { state.chosen = null; refresh(); }, Enter: () => state.chosen?.[0] === "g" && flip(state.chosen) }[event.key];
  if (act) { event.preventDefault(); act(); }
});
function play() {
  if (state.timer) { clearInterval(state.timer); state.timer = 0; }
  else {
    if (state.step === units.length) go(0);
    state.timer = setInterval(() => (state.step < units.length ? go(state.step + 1) : play()), 700);
  }
  $("play").textContent = state.timer ? "❚❚" : "play";
}
function find(text) {
  const words = text.trim().toLowerCase(), match = s => (s || "").toLowerCase().includes(words);
  if (!words) return;
  const found = [...picture.groups.filter(g => match(g.path) || match(g.title) || match(g.kind)).map(g => `g${g.key}`), ...nodes.filter(n => match(n.title) || match(n.detail)).map(n => `n${n.number}`)];
  if (found.length) reveal(found[(found.indexOf(state.chosen) + 1) % found.length]);
}
$("first").onclick = () => go(0); $("previous").onclick = () => go(state.step - 1); $("next").onclick = () => go(state.step + 1); $("last").onclick = () => go(units.length);
$("play").onclick = play;
$("slider").oninput = event => go(+event.target.value);
$("show").onchange = event => { state.show = event.target.value; heat(); refresh(); };
$("find").onkeydown = event => { if (event.key === "Enter") find(event.target.value); };
$("all").onclick = () => { groups.forEach((_, key) => open.add(key)); draw(); fit(); };
$("none").onclick = () => { open.clear(); draw(); fit(); };
$("fit").onclick = whole;
$("larger").onclick = () => zoomAt(1.25, svg.clientWidth / 2, svg.clientHeight / 2);
$("smaller").onclick = () => zoomAt(0.8, svg.clientWidth / 2, svg.clientHeight / 2);
addEventListener("resize", () => { drawMap(); look(); });

draw(); fit();
const marked = [...drawn.keys()].find(item => labels[item].mark);
if (marked) bring(marked);
const asked = new URLSearchParams(location.hash.slice(1));
if (asked.get("show")) { $("show").value = state.show = asked.get("show"); heat(); refresh(); }
if (asked.get("find")) find(asked.get("find"));
if (asked.get("step")) go(+asked.get("step"));
document.documentElement.dataset.ready = "yes";
document.documentElement.dataset.took = performance.now().toFixed(0);  // milliseconds from opening to drawn
