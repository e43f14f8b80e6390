// ---- the cut: histogram, slider, figures, shares, command ----------------------------------------------------------

const BINS = 60; // at most
const HEIGHT = 100;
const panel = { bars: [], shares: [] };
let order; // the page's rows that may be kept, best first

function prepareScores() {
  order = Uint32Array.from([...column.place.keys()].filter((i) => column.place[i])).sort((a, b) => column.place[a] - column.place[b]);
  if (!about.scores) return;
  let low = Infinity;
  let high = -Infinity;
  for (const score of column.score) {
    if (Number.isFinite(score)) [low, high] = [Math.min(low, score), Math.max(high, score)];
  }
  // Whole numbers fill bins of whole numbers, so that no bin has one more of them than the next.
  const whole = column.score.every((score) => Number.isInteger(score) || !Number.isFinite(score));
  const width = whole ? Math.ceil((high - low + 1) / BINS) : (high - low) / BINS || 1;
  const bins = whole ? Math.ceil((high - low + 1) / width) : BINS;
  Object.assign(panel, { low, high, width, bins });
  const binOf = (score) => Math.min(Math.max(Math.floor((score - low) / width), 0), bins - 1);
  panel.bin = Int8Array.from(column.score, (score) => (Number.isNaN(score) ? -1 : binOf(score)));
  panel.all = new Uint32Array(bins);
  for (const bin of panel.bin) if (bin >= 0) panel.all[bin]++;
}

function drawHistogram() {
  const most = Math.max(...panel.all);
  const chart = drawing("svg", { class: "histogram", viewBox: `0 0 ${panel.bins} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Histogram of the scores, from ${figure(panel.low)} to ${figure(panel.high)}` });
  panel.all.forEach((rows, bin) => {
    const height = (HEIGHT * rows) / most;
    chart.append(drawing("rect", { class: "all", x: bin + 0.05, width: 0.9, y: HEIGHT - height, height }));
    panel.bars.push(chart.appendChild(drawing("rect", { class: "kept", x: bin + 0.05, width: 0.9 })));
  });
  panel.most = most;
  if (about.most !== null && !about.quotas) panel.line = chart.appendChild(drawing("line", { y1: 0, y2: HEIGHT }));
  const axis = [panel.low, (panel.low + panel.high) / 2, panel.high].map((score) => element("span", {}, figure(score)));
  const key = element("p", { class: "key" }, element("span", {}, "all rows"), element("span", { class: "of-kept" }, "kept"));
  return element("div", {}, key, chart, element("div", { class: "axis" }, ...axis));
}

function drawSlider() {
  const attributes = { min: 1, max: about.most, step: 1, value: cut };
  const first = about.scores ? "best" : "first";
  panel.range = element("input", { type: "range", id: "cut", "aria-label": `Rows to keep, the ${first} ones`, ...attributes,
    input: () => moveCut(Number(panel.range.value)) });
  panel.number = element("input", { type: "number", id: "keep", ...attributes, change: () => moveCut(Number(panel.number.value)) });
  const reset = element("button", { type: "button", click: () => moveCut(about.kept) }, "As it was chosen");
  return element("div", { class: "slider" }, panel.range, element("label", { for: "keep" }, "Keep"), panel.number, reset);
}

function drawShares(f) {
  const field = about.fields[f];
  const body = element("tbody");
  const rows = field.values.map((value, at) => ({ at, all: 0 }));
  for (let i = 0; i < P; i++) rows[column["field" + f][i]].all++;
  rows.sort((a, b) => b.all - a.all);
  const longest = Math.max(rows[0].all / P, 1e-9) * 1.25; // room for a larger share of what is kept
  for (const { at, all } of rows.slice(0, 8)) {
    const bar = drawing("rect", { class: "kept", y: 8, height: 7 });
    const cell = element("td", { class: "number" });
    const line = drawing("svg", { class: "share", viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawing("rect", { class: "all", y: 1, height: 7, width: (100 * all) / P / longest }), bar);
    panel.shares.push({ f, at, bar, cell, longest });
    body.append(element("tr", {}, element("th", { scope: "row", dir: "auto" }, field.values[at]), element("td", {}, line),
      element("td", { class: "number" }, percent(all / P)), cell));
  }
  if (rows.length > 8) body.append(element("tr", {}, element("td", { colspan: 4 }, `and ${rows.length - 8} more values`)));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, field.name),
    element("td"), element("th", { scope: "col", class: "number" }, "of all"), element("th", { scope: "col", class: "number" }, "of kept")));
  return element("div", { class: "box", tabindex: 0, role: "region", "aria-label": `Shares by ${field.name}` }, element("table", {}, head, body));
}

function drawPanel() {
  const place = byId("cut-panel");
  panel.figures = element("tbody");
  const head = element("thead", {}, element("tr", {}, element("td"), element("th", { scope: "col", class: "number" }, "kept"),
    element("th", { scope: "col", class: "number" }, "all")));
  const tables = element("div", { class: "columns" },
    element("div", { class: "box" }, element("table", { id: "figures" }, head, panel.figures)), ...about.fields.map((_, f) => drawShares(f)));
  if (about.scores) place.append(drawHistogram());
  if (about.most !== null) place.append(drawSlider());
  place.append(tables);
  if (about.most !== null) place.append(...drawCommand(), drawEdges());
  showCut();
}

function drawCommand() {
  if (!about.command) return [];
  panel.command = element("code", { id: "command" });
  panel.copied = element("span", { role: "status", class: "quiet" });
  const copy = element("button", { type: "button", id: "copy", click: copyCommand }, "Copy the command");
  const where = element("p", { class: "quiet" }, "It chooses these rows, without a model. Run it where its path leads to the run.");
  return [element("h3", {}, "This cut as a command"), element("div", { class: "command" }, panel.command, copy, panel.copied), where];
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(panel.command.textContent);
    panel.copied.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(panel.command);
    panel.copied.textContent = "It is selected: copy it with the keyboard.";
  }
}

// The rows on both sides of the cut.
function drawEdges() {
  [panel.above, panel.below] = [0, 1].map(() => element("ul", { class: "examples" }));
  return element("div", { class: "columns" }, element("div", {}, element("h3", {}, "Last kept"), panel.above),
    element("div", {}, element("h3", {}, "First not kept"), panel.below));
}

function moveCut(rows) {
  setCut(rows);
  panel.range.value = cut;
  panel.number.value = cut;
  if (panel.copied) panel.copied.textContent = "";
  showCut();
  if (filters.kept) filterRows();
  else renderRows(true);
  drawLists();
  if (map) drawMap();
}

function sumRows() {
  const sums = { kept: 0, words: 0, tokens: 0, lowest: Infinity, allWords: 0, allTokens: 0, bins: new Uint32Array(panel.bins),
    values: about.fields.map((field) => new Uint32Array(field.values.length)) };
  for (let i = 0; i < P; i++) {
    sums.allWords += column.words[i];
    if (about.tokens) sums.allTokens += column.tokens[i];
    if (!isKept(i)) continue;
    sums.kept++;
    sums.words += column.words[i];
    sums.lowest = Math.min(sums.lowest, column.score[i]);
    if (about.tokens) sums.tokens += column.tokens[i];
    if (about.scores && panel.bin[i] >= 0) sums.bins[panel.bin[i]]++;
    for (let f = 0; f < sums.values.length; f++) sums.values[f][column["field" + f][i]]++;
  }
  return sums;
}

function showCut() {
  const sums = sumRows();
  showFigures(sums);
  for (const { f, at, bar, cell, longest } of panel.shares) {
    bar.setAttribute("width", Math.min(100, (100 * sums.values[f][at]) / Math.max(sums.kept, 1) / longest));
    cell.textContent = percent(sums.values[f][at] / sums.kept);
  }
  panel.bars.forEach((bar, bin) => {
    const height = (HEIGHT * sums.bins[bin]) / panel.most;
    bar.setAttribute("y", HEIGHT - height);
    bar.setAttribute("height", height);
  });
  if (about.most === null) return;
  if (panel.line) ["x1", "x2"].forEach((end) => panel.line.setAttribute(end, (sums.lowest - panel.low) / panel.width));
  panel.range.setAttribute("aria-valuetext", `${count(cut)} rows` + (about.scores ? `, scores of ${figure(sums.lowest)} and above` : ""));
  if (panel.command) panel.command.textContent = about.command.replaceAll("@ROWS@", String(cut));
  showEdge(panel.above, nearest(order.toReversed(), true).reverse());
  showEdge(panel.below, nearest(order, false));
}

function showFigures(sums) {
  const sign = about.rows < about.total ? "≈ " : "";
  const lines = [["rows", count(cut), count(about.total)], ["share of the rows", percent(cut / about.total), ""],
    ["mean words of the answers", sign + (sums.words / sums.kept).toFixed(1), sign + (sums.allWords / P).toFixed(1)]];
  if (about.tokens) {
    const tokens = [(sums.tokens / sums.kept) * cut, (sums.allTokens / P) * about.total]; // a page may hold a sample
    lines.push(["tokens to train on, about", ...tokens.map(count)]);
  }
  if (about.most !== null && about.scores) lines.splice(2, 0, ["lowest score kept", figure(sums.lowest), figure(panel.low)]);
  panel.figures.replaceChildren(...lines.map(([name, own, all]) => element("tr", {}, element("th", { scope: "row" }, name),
    element("td", { class: "number" }, own), element("td", { class: "number" }, all))));
}

function showEdge(list, rows) {
  const none = element("li", { class: "quiet" }, about.scores ? "none" : "none: all that the method chose are kept");
  list.replaceChildren(...(rows.length ? rows.map((i) => element("li", {}, item(i))) : [none]));
}

// The first three of some rows that are kept, or are not.
function nearest(rows, kept) {
  const near = [];
  for (let at = 0; at < rows.length && near.length < 3; at++) if (isKept(rows[at]) === kept) near.push(rows[at]);
  return near;
}
