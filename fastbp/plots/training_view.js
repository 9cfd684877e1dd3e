// The view of a training in a notebook: an SVG of the curves, drawn again whenever `state` changes.
// A pointer over the picture selects the epoch whose values stand below, a click on a name hides its curve.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 640, height: 300, left: 58, right: 58, top: 20, bottom: 34 };

const STYLE = `
.fastbp-view { font: 13px system-ui, sans-serif; max-width: 720px;
  color: var(--jp-ui-font-color1, var(--vscode-foreground, currentColor)); }
.fastbp-view svg { width: 100%; height: auto; display: block; }
.fastbp-view text { fill: currentColor; font-size: 12px; }
.fastbp-view .frame { stroke: currentColor; stroke-opacity: .5; fill: none; }
.fastbp-view .grid { stroke: currentColor; stroke-opacity: .12; }
.fastbp-view .cursor { stroke: currentColor; stroke-opacity: .6; }
.fastbp-view .curve { fill: none; stroke-width: 2; }
.fastbp-view .row { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; }
.fastbp-view button { font: inherit; color: inherit; background: none; border: 0; padding: 2px 0;
  cursor: pointer; }
.fastbp-view button[aria-pressed=false] { opacity: .4; text-decoration: line-through; }
.fastbp-view progress { width: 140px; }`;

function node(parent, kind, attributes = {}, text = "") {
  const child = parent.namespaceURI === SVG || kind === "svg"
    ? document.createElementNS(SVG, kind) : document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) child.setAttribute(name, value);
  if (text) child.textContent = text;
  parent.appendChild(child);
  return child;
}

// Three to seven round numbers from low to high; powers of ten on a logarithmic axis.
function ticks(low, high, logarithmic) {
  const found = [];
  if (logarithmic) {
    const step = Math.max(1, Math.ceil(Math.log10(high / low) / 6));
    for (let k = Math.ceil(Math.log10(low)); k <= Math.log10(high); k += step) found.push(10 ** k);
    if (found.length > 1) return found;
    found.length = 0;
  }
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-12); k++) found.push(k * step);
  return found;
}

function short(value) {
  if (value === null || value === undefined) return "–";
  const text = Number(value.toPrecision(4));
  return Math.abs(text) >= 1e5 || (text && Math.abs(text) < 1e-3) ? text.toExponential() : `${text}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// The scale of one side: from values to heights.
function scale(curves, logarithmic) {
  const values = curves.flatMap((curve) => curve.points.map((point) => point[1]))
    .filter((value) => value !== null);
  if (!values.length) return null;
  let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const log = logarithmic && low > 0;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const map = log ? Math.log : (value) => value;
  const inner = SIZE.height - SIZE.top - SIZE.bottom;
  const height = (value) =>
    SIZE.top + inner * (1 - 0.03 - 0.94 * (map(value) - map(low)) / (map(high) - map(low)));
  return { height, ticks: ticks(low, high, log) };
}

function nearest(points, epoch) {
  if (epoch >= points.at(-1)[0]) return points.at(-1);
  const distance = (point) => Math.abs(point[0] - epoch);
  return points.reduce((a, b) => (distance(b) < distance(a) ? b : a));
}

function render({ model, el }) {
  const root = node(el, "div", { class: "fastbp-view" });
  node(root, "style", {}, STYLE);
  const status = node(root, "div", { class: "row", role: "status" });
  const svg = node(root, "svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img" });
  const legend = node(root, "div", { class: "row" });
  const hidden = new Set();
  let logarithmic = false;

  function draw() {
    const state = model.get("state");
    const shown = state.curves.filter((curve) => !hidden.has(curve.name));
    drawStatus(state);
    drawLegend(state);
    svg.replaceChildren();
    svg.setAttribute("aria-label", `Learning curve, epoch ${state.epoch}`);
    const right = SIZE.width - SIZE.right, bottom = SIZE.height - SIZE.bottom;
    const first = Math.min(1, ...shown.flatMap((curve) => curve.points.slice(0, 1).map((p) => p[0])));
    const last = Math.max(state.epoch, first + 1);
    const x = (epoch) => SIZE.left + (right - SIZE.left) * (epoch - first) / (last - first);
    const sides = {
      left: scale(shown.filter((curve) => curve.axis === "left"), logarithmic),
      right: scale(shown.filter((curve) => curve.axis === "right"), false),
    };
    for (const epoch of ticks(first, last, false).filter(Number.isInteger)) {
      node(svg, "line", { class: "grid", x1: x(epoch), x2: x(epoch), y1: SIZE.top, y2: bottom });
      node(svg, "text", { x: x(epoch), y: bottom + 16, "text-anchor": "middle" }, `${epoch}`);
    }
    node(svg, "text", { x: (SIZE.left + right) / 2, y: SIZE.height - 3, "text-anchor": "middle" },
      "epoch");
    for (const [side, place] of [["left", SIZE.left], ["right", right]]) {
      if (!sides[side]) continue;
      node(svg, "line", { class: "frame", x1: place, x2: place, y1: SIZE.top, y2: bottom });
      for (const value of sides[side].ticks) {
        const y = sides[side].height(value), out = side === "left" ? -6 : 6;
        node(svg, "text", { x: place + out, y: y + 4, "text-anchor": side === "left" ? "end" : "start" },
          short(value));
        if (side === "left") node(svg, "line", { class: "grid", x1: place, x2: right, y1: y, y2: y });
      }
    }
    node(svg, "line", { class: "frame", x1: SIZE.left, x2: right, y1: bottom, y2: bottom });
    if (state.best !== null) {
      node(svg, "line", { class: "cursor", "stroke-dasharray": "2 4", x1: x(state.best),
        x2: x(state.best), y1: SIZE.top, y2: bottom });
    }
    for (const curve of shown) {
      const at = sides[curve.axis];
      if (!at) continue;
      const known = curve.points.filter((point) => point[1] !== null);
      if (known.length === 1) {
        node(svg, "circle", { cx: x(known[0][0]), cy: at.height(known[0][1]), r: 4, fill: curve.color });
      }
      const path = known.map(([epoch, value], i) => `${i ? "L" : "M"}${x(epoch).toFixed(2)} `
        + at.height(value).toFixed(2)).join("");
      node(svg, "path", { class: "curve", d: path, stroke: curve.color,
        "stroke-dasharray": curve.dash, "data-name": curve.name });
    }
    const cursor = node(svg, "g", { visibility: "hidden" });
    svg.onpointermove = (event) => {
      const box = svg.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width * SIZE.width;
      const epoch = Math.round(first + (place - SIZE.left) / (right - SIZE.left) * (last - first));
      drawCursor(cursor, shown, sides, x, Math.min(Math.max(epoch, first), last));
    };
    svg.onpointerleave = () => {
      cursor.setAttribute("visibility", "hidden");
      drawLegend(state);
    };
  }

  function drawCursor(cursor, shown, sides, x, epoch) {
    cursor.replaceChildren();
    cursor.setAttribute("visibility", "visible");
    let place = epoch;
    for (const curve of shown.filter((one) => one.points.length)) {
      const [at, value] = nearest(curve.points, epoch);
      place = at;
      if (value !== null) {
        node(cursor, "circle", { cx: x(at), cy: sides[curve.axis].height(value), r: 4,
          fill: curve.color });
      }
    }
    node(cursor, "line", { class: "cursor", x1: x(place), x2: x(place), y1: SIZE.top,
      y2: SIZE.height - SIZE.bottom });
    node(cursor, "text", { x: x(place), y: SIZE.top - 6, "text-anchor": "middle" }, `epoch ${place}`);
    drawLegend(model.get("state"), place);
  }

  function drawStatus(state) {
    status.replaceChildren();
    if (state.epochs && state.running) {
      node(status, "progress", { max: state.epochs, value: state.epoch,
        "aria-label": "epochs" });
    }
    const of = state.epochs ? ` of ${state.epochs}` : "";
    const parts = [`epoch ${state.epoch}${of}`, duration(state.seconds)];
    if (state.running && state.left !== null) parts.push(`${duration(state.left)} left`);
    if (state.best !== null) parts.push(`best epoch ${state.best}`);
    parts.push(state.running ? "to stop, interrupt the kernel" : state.end);
    for (const part of parts) node(status, "span", {}, part);
  }

  // The names of the curves, with the values of an epoch; by default of the last one.
  function drawLegend(state, epoch = Infinity) {
    legend.replaceChildren();
    for (const curve of state.curves) {
      const button = node(legend, "button", { "aria-pressed": !hidden.has(curve.name) });
      const key = node(button, "svg", { viewBox: "0 0 26 8",
        style: "width:26px;height:8px;display:inline;margin-right:5px" });
      node(key, "line", { x1: 0, x2: 26, y1: 4, y2: 4, stroke: curve.color, "stroke-width": 2.5,
        "stroke-dasharray": curve.dash });
      const value = curve.points.length ? nearest(curve.points, epoch)[1] : null;
      node(button, "span", {}, `${curve.name} ${short(value)}`);
      button.onclick = () => {
        if (!hidden.delete(curve.name)) hidden.add(curve.name);
        draw();
      };
    }
    const label = node(legend, "label");
    const box = node(label, "input", { type: "checkbox" });
    box.checked = logarithmic;
    label.append(" logarithmic");
    box.onchange = () => {
      logarithmic = box.checked;
      draw();
    };
  }

  model.on("change:state", draw);
  draw();
  return () => model.off("change:state", draw);
}

export default { render };
