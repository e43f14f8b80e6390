"use strict";
// The page of one selection. What comes from the data enters the page by textContent alone, never as markup.

const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent);
const count = (number) => Math.round(number).toLocaleString("en-US");
const figure = (number) => (Number.isFinite(number) ? String(Number(number.toPrecision(4))) : "–");
const percent = (share) => (Number.isFinite(share) ? (100 * share).toFixed(1) + " %" : "–");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

async function unpack(id) {
  const text = atob(byId(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  byId(id).remove();
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// ---- the rows: columns by name, one number a row -------------------------------------------------------------------

const column = {};
const texts = { question: null, answer: null, why: null };
const P = about.rows;
let cut = about.kept;

const isKept = (i) => (about.isCut ? column.place[i] > 0 && column.place[i] <= cut : column.kept[i] === 1);
const scale = about.total / about.rows; // of a page that holds a sample, what one of its rows stands for

async function readNumbers() {
  const buffer = await unpack("numbers");
  for (const [name, { type, begin, length }] of Object.entries(about.columns)) {
    column[name] = new globalThis[type](buffer, begin, length);
  }
}

async function readTexts() {
  const all = new TextDecoder().decode(await unpack("texts")).split("\0");
  ["question", "answer", "why"].forEach((name, at) => (texts[name] = all.slice(at * P, (at + 1) * P)));
}

function explain(i) {
  if (!about.isCut || column.place[i] === 0) return texts.why ? texts.why[i] : "";
  const rank = `rank ${count(column.place[i])} of ${count(about.candidates)}`;
  return isKept(i) ? rank : `${rank}, below the cut`;
}

const flagWords = (i) => about.flags.filter(([bit]) => column.flags[i] & bit).map(([, word]) => word).join(", ");
const fieldValue = (f, i) => about.fields[f].values[column["field" + f][i]];
const badge = (i) => element("em", { class: isKept(i) ? "badge yes" : "badge" }, isKept(i) ? "kept" : "not kept");

// A row as a button: its score, whether it is kept, and the beginning of its texts.
function item(i) {
  const head = element("b", {}, `row ${column.row[i]} · `, about.scores ? figure(column.score[i]) + " · " : "", badge(i));
  const lines = [texts.question, texts.answer].map((all) => element("span", { dir: "auto" }, all ? all[i] : ""));
  return element("button", { class: "plain item", type: "button", click: () => openRow(i) }, head, ...lines);
}

// ---- the cut -------------------------------------------------------------------------------------------------------

const BINS = 60; // at most
const HEIGHT = 100;
const panel = { bars: [], shares: [] };
let order; // places of the rows that may be chosen, best first

function prepareScores() {
  order = new Uint32Array(about.candidatesHere);
  for (let i = 0; i < P; i++) if (column.place[i]) order[column.place[i] - 1] = i;
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
  panel.line = chart.appendChild(drawing("line", { y1: 0, y2: HEIGHT }));
  const axis = [panel.low, (panel.low + panel.high) / 2, panel.high].map((score) => element("span", {}, figure(score)));
  const key = element("p", { class: "key" }, element("span", {}, "all rows"), element("span", { class: "of-kept" }, "kept"));
  return element("div", {}, key, chart, element("div", { class: "axis" }, ...axis));
}

function drawSlider() {
  const attributes = { min: 1, max: about.candidatesHere, step: 1, value: cut };
  panel.range = element("input", { type: "range", id: "cut", "aria-label": "Rows to keep, the best first", ...attributes,
    input: () => moveCut(Number(panel.range.value)) });
  panel.number = element("input", { type: "number", id: "keep", ...attributes, max: about.candidates, value: keepCount(),
    change: () => moveCut(Math.round(Number(panel.number.value) / sampleScale())) });
  const reset = element("button", { type: "button", click: () => moveCut(about.kept) }, "As it was chosen");
  return element("div", { class: "slider" }, panel.range, element("label", { for: "keep" }, "Keep"), panel.number, reset);
}

// A page of a long run holds a sample: then a cut stands for a larger number of rows.
const sampleScale = () => about.candidates / about.candidatesHere;
const keepCount = () => (cut === about.kept ? about.keptRows : Math.round(cut * sampleScale()));

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
  panel.above = element("ul", { class: "examples" });
  panel.below = element("ul", { class: "examples" });
  const tables = element("div", { class: "columns" },
    element("div", { class: "box" }, element("table", { id: "figures" }, head, panel.figures)), ...about.fields.map((_, f) => drawShares(f)));
  if (about.scores) place.append(drawHistogram());
  if (about.isCut) place.append(drawSlider());
  place.append(tables);
  if (about.isCut) {
    panel.command = element("code", { id: "command" });
    panel.copied = element("span", { role: "status", class: "quiet" });
    const copy = element("button", { type: "button", id: "copy", click: copyCommand }, "Copy the command");
    if (about.command) place.append(element("h3", {}, "This cut as a command"), element("div", { class: "command" }, panel.command, copy, panel.copied));
    place.append(element("div", { class: "columns" }, element("div", {}, element("h3", {}, "Last kept"), panel.above),
      element("div", {}, element("h3", {}, "First not kept"), panel.below)));
  }
  showCut();
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

function moveCut(wanted) {
  cut = Math.min(Math.max(Math.round(wanted) || 1, 1), about.candidatesHere);
  panel.range.value = cut;
  panel.number.value = keepCount();
  panel.copied.textContent = "";
  showCut();
  if (filters.kept) filterRows();
  else renderRows(true);
  drawLists();
  if (map) drawMap();
}

function sumRows() {
  const sums = { kept: 0, words: 0, tokens: 0, allWords: 0, allTokens: 0, bins: new Uint32Array(panel.bins), values: about.fields.map((field) => new Uint32Array(field.values.length)) };
  for (let i = 0; i < P; i++) {
    sums.allWords += column.words[i];
    if (about.tokens) sums.allTokens += column.tokens[i];
    if (!isKept(i)) continue;
    sums.kept++;
    sums.words += column.words[i];
    if (about.tokens) sums.tokens += column.tokens[i];
    if (about.scores && panel.bin[i] >= 0) sums.bins[panel.bin[i]]++;
    for (let f = 0; f < sums.values.length; f++) sums.values[f][column["field" + f][i]]++;
  }
  return sums;
}

function showCut() {
  const sums = sumRows();
  const kept = about.isCut ? keepCount() : about.keptRows;
  const sign = about.rows < about.total ? "≈ " : "";
  const lines = [["rows", count(kept), count(about.total)], ["share of the rows", percent(kept / about.total), ""],
    ["mean words of the answers", sign + (sums.words / sums.kept).toFixed(1), sign + (sums.allWords / P).toFixed(1)]];
  if (about.tokens) lines.push(["tokens to train on, about", count(sums.tokens * scale), count(sums.allTokens * scale)]);
  if (about.isCut) lines.splice(2, 0, ["lowest score kept", figure(column.score[order[cut - 1]]), figure(panel.low)]);
  panel.figures.replaceChildren(...lines.map(([name, own, all]) => element("tr", {}, element("th", { scope: "row" }, name),
    element("td", { class: "number" }, own), element("td", { class: "number" }, all))));
  for (const { f, at, bar, cell, longest } of panel.shares) {
    bar.setAttribute("width", Math.min(100, (100 * sums.values[f][at]) / Math.max(sums.kept, 1) / longest));
    cell.textContent = percent(sums.values[f][at] / sums.kept);
  }
  if (about.scores) {
    panel.bars.forEach((bar, bin) => {
      const height = (HEIGHT * sums.bins[bin]) / panel.most;
      bar.setAttribute("y", HEIGHT - height);
      bar.setAttribute("height", height);
    });
  }
  if (!about.isCut) {
    if (panel.line) panel.line.remove();
    return;
  }
  const lowest = column.score[order[cut - 1]];
  const at = (lowest - panel.low) / panel.width;
  panel.line.setAttribute("x1", at);
  panel.line.setAttribute("x2", at);
  panel.range.setAttribute("aria-valuetext", `${count(kept)} rows, scores of ${figure(lowest)} and above`);
  if (about.command) panel.command.textContent = about.command.replaceAll("@ROWS@", String(kept));
  panel.above.replaceChildren(...Array.from(order.slice(Math.max(cut - 3, 0), cut), (i) => element("li", {}, item(i))));
  panel.below.replaceChildren(...Array.from(order.slice(cut, cut + 3), (i) => element("li", {}, item(i))));
}

// ---- rows to look at -----------------------------------------------------------------------------------------------

const SHOWN = 4;

function drawLists() {
  byId("lists").replaceChildren(...about.lists.map((list, at) => {
    const rows = list.places.slice(0, SHOWN).map((i) => element("li", {}, item(i)));
    const more = element("button", { type: "button", class: "more", click: () => showOnly(list) },
      list.places.length === 1 ? "This row in the table" : `All ${list.places.length} in the table`);
    return element("section", { class: "card", "aria-labelledby": "list" + at }, element("h3", { id: "list" + at }, list.title),
      element("p", { class: "quiet" }, list.about), element("ul", {}, ...rows), more);
  }));
}

function showOnly(list) {
  filters.only = list;
  byId("only").textContent = `${list.title} ✕`;
  byId("only").hidden = false;
  sortBy(null);
  filterRows();
  byId("table").scrollIntoView();
  byId("table").focus({ preventScroll: true });
}

// ---- the table: only the rows in sight are in the document ---------------------------------------------------------

const filters = { text: "", kept: "", flag: 0, only: null, fields: {} };
const sorting = { key: "place", down: false };
let shown = new Uint32Array(0); // places of the rows in the table, in its order
let found = null; // all texts in small letters, made when first searched

function tableColumns() {
  const rated = about.ratings ? [{ title: "label probabilities", cell: bars, values: column.spread, hint: "sorts by how far the prompts and models disagree" }] : [];
  return [
    { title: "row", values: column.row },
    { title: "rank", values: column.place, cell: (i) => (column.place[i] ? count(column.place[i]) : "–"), number: true },
    ...(about.scores ? [{ title: "score", values: column.score, cell: (i) => figure(column.score[i]), number: true }] : []),
    { title: "kept", values: null, cell: badge },
    { title: "question and answer", cell: preview, text: true },
    ...rated,
    ...about.parts.map((name, at) => ({ title: name, values: column["part" + at], cell: (i) => figure(column["part" + at][i]), number: true })),
    { title: "words", values: column.words, cell: (i) => count(column.words[i]), number: true },
    ...(about.tokens ? [{ title: "tokens ≈", values: column.tokens, cell: (i) => count(column.tokens[i]), number: true }] : []),
    ...about.fields.map((field, f) => ({ title: field.name, values: column["field" + f], cell: (i) => fieldValue(f, i) })),
    ...(about.flags.length ? [{ title: "noted", values: column.flags, cell: flagWords }] : []),
    { title: "why", cell: explain },
    ...(about.near ? [{ title: "like row", values: column.near, cell: (i) => (column.near[i] ? String(column.near[i] - 1) : "") }] : []),
  ];
}

function preview(i) {
  return element("div", {}, ...[texts.question, texts.answer].map((all) => element("div", { dir: "auto" }, all ? all[i] : "")));
}

const chance = (i, model, prompt, label) => {
  const { models, prompts, labels } = about.ratings;
  const value = column.chances[((i * models.length + model) * prompts.length + prompt) * labels.length + label];
  return value === 65535 ? NaN : value / 10000;
};

// The probabilities of the labels, a group of bars for each prompt of each model.
function bars(i) {
  const { models, prompts, labels } = about.ratings;
  const width = labels.length * 3 + 4;
  let path = "";
  const likely = [];
  const groups = Math.min(models.length * prompts.length, 10);
  for (let group = 0; group < groups; group++) {
    const chances = labels.map((_, label) => chance(i, Math.floor(group / prompts.length), group % prompts.length, label));
    chances.forEach((value, label) => {
      if (value > 0) path += `M${group * width + label * 3} 20v${-20 * value}h2.4v${20 * value}z`;
    });
    likely.push(Number.isNaN(chances[0]) ? "none" : labels[chances.indexOf(Math.max(...chances))]);
  }
  const made = drawing("svg", { class: "bars", viewBox: `0 0 ${groups * width} 20`, width: groups * width * 1.3, role: "img", "aria-label": `most likely: ${likely.join(", ")}` });
  for (let group = 0; group < groups; group++) made.append(drawing("rect", { x: group * width - 1, width: width - 2, height: 20 }));
  made.append(drawing("path", { d: path }));
  return made;
}

function choiceOf(label, options, change) {
  const made = element("select", { "aria-label": label, change: () => (change(made.value), filterRows()) },
    ...options.map(([value, text]) => element("option", { value }, text)));
  return element("label", {}, label, made);
}

function drawTable() {
  table.columns = tableColumns();
  const search = element("input", { type: "search", id: "search", input: () => ((filters.text = search.value.toLowerCase()), filterRows()) });
  const controls = element("div", { class: "filters" },
    element("label", {}, `Search the first ${about.preview} characters`, search),
    choiceOf("Kept", [["", "all"], ["yes", "kept"], ["no", "not kept"]], (value) => (filters.kept = value)));
  if (about.flags.length) {
    controls.append(choiceOf("Noted", [["0", "all"], ["255", "anything"], ...about.flags], (value) => (filters.flag = Number(value))));
  }
  about.fields.forEach((field, f) => {
    const options = field.values.map((value, at) => [String(at), value]).sort((a, b) => a[1].localeCompare(b[1]));
    controls.append(choiceOf(field.name, [["", "all"], ...options], (value) => (filters.fields[f] = value)));
  });
  controls.append(element("button", { type: "button", id: "only", hidden: "", title: "Show the other rows again",
    click: () => ((filters.only = null), (byId("only").hidden = true), sortBy("place"), filterRows()) }));
  table.status = element("p", { role: "status", class: "quiet" });
  table.head = element("tr", {}, ...table.columns.map((each, at) => {
    const sort = element("button", { type: "button", title: each.hint ?? null, click: () => (sortBy(at), filterRows()) }, each.title);
    return element("th", { scope: "col", "aria-sort": each.values ? "none" : null }, each.values ? sort : each.title);
  }));
  [table.before, table.after] = [0, 1].map(() => element("tbody", { class: "space", "aria-hidden": "true" },
    element("tr", {}, element("td", { colspan: table.columns.length }))));
  table.body = element("tbody", { class: "there", keydown: moveFocus });
  table.table = element("table", { "aria-label": "All rows" }, element("thead", {}, table.head), table.before, table.body, table.after);
  table.scroller = element("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": "Table of rows", scroll: () => renderRows(false) }, table.table);
  byId("rows").append(controls, table.status, table.scroller);
  table.height = parseFloat(getComputedStyle(document.documentElement).fontSize) * 3.25;
  new ResizeObserver(() => renderRows(true)).observe(table.scroller);
  sortBy("place");
  filterRows();
}
const table = { first: -1, last: -1, focus: 0 };

// By a column's place; "place" = by rank; null = as they come. The same column again turns the order round.
function sortBy(key) {
  const numbers = key !== null && key !== "place" && table.columns[key].title !== "rank";
  sorting.down = sorting.key === key && key !== "place" ? !sorting.down : numbers && table.columns[key].number === true;
  sorting.key = key;
  [...table.head.children].forEach((cell, at) => {
    if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", at !== key ? "none" : sorting.down ? "descending" : "ascending");
  });
}

function sorted(places) {
  if (sorting.key === null) return places;
  const title = sorting.key === "place" ? "rank" : table.columns[sorting.key].title;
  const values = sorting.key === "place" ? column.place : table.columns[sorting.key].values;
  const missing = title === "rank" ? (value) => value === 0 : (value) => value !== value;
  const sign = sorting.down ? -1 : 1;
  return places.sort((a, b) => missing(values[a]) - missing(values[b]) || sign * (values[a] - values[b]) || a - b);
}

function filterRows() {
  const named = filters.only && new Set(filters.only.places);
  const inside = map && map.inside;
  if (filters.text && !found && texts.question) found = texts.question.map((text, i) => `${text}\n${texts.answer[i]}`.toLowerCase());
  const fits = (i) =>
    (!named || named.has(i)) &&
    (!inside || inside.has(i)) &&
    (!filters.kept || (filters.kept === "yes") === isKept(i)) &&
    (!filters.flag || (column.flags[i] & filters.flag) > 0) &&
    (!filters.text || !found || found[i].includes(filters.text)) &&
    Object.entries(filters.fields).every(([f, value]) => value === "" || column["field" + f][i] === Number(value));
  const every = sorting.key === null && filters.only ? filters.only.places : column.row.keys();
  shown = sorted(Uint32Array.from([...every].filter(fits)));
  table.focus = 0;
  const rows = shown.length === 1 ? "1 row" : `${count(shown.length)} rows`;
  table.status.textContent = shown.length === P ? rows : `${rows} of ${count(P)}`;
  table.table.setAttribute("aria-rowcount", shown.length + 1);
  table.scroller.scrollTop = 0;
  renderRows(true);
}

function renderRows(anew) {
  const first = Math.max(0, Math.floor(table.scroller.scrollTop / table.height) - 8);
  const last = Math.min(shown.length, first + Math.ceil(table.scroller.clientHeight / table.height) + 16);
  if (!anew && first === table.first && last === table.last) return;
  const focused = table.body.contains(document.activeElement);
  [table.first, table.last] = [first, last];
  table.body.replaceChildren(...Array.from(shown.subarray(first, last), (i, at) => rowOf(i, first + at)));
  table.before.firstChild.firstChild.style.height = `${first * table.height}px`;
  table.after.firstChild.firstChild.style.height = `${(shown.length - last) * table.height}px`;
  table.before.hidden = first === 0;
  table.after.hidden = last === shown.length;
  if (focused) focusRow(table.focus);
}

function rowOf(i, at) {
  const open = element("button", { type: "button", class: "plain", tabindex: at === table.focus ? 0 : -1, "aria-label": `Open row ${column.row[i]}`,
    focus: () => (table.focus = at) }, String(column.row[i]));
  const cells = table.columns.map((each, place) =>
    element("td", { class: each.number ? "number" : each.text ? "text" : null, dir: each.text || each.number ? null : "auto" },
      place === 0 ? open : each.cell(i)));
  return element("tr", { "aria-rowindex": at + 2, click: () => openRow(i, at) }, ...cells);
}

function focusRow(at) {
  const button = table.body.children[at - table.first]?.querySelector("button");
  if (button) button.focus({ preventScroll: true });
}

function moveFocus(event) {
  const page = Math.floor(table.scroller.clientHeight / table.height) - 1;
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -shown.length, End: shown.length };
  if (!(event.key in steps)) return;
  event.preventDefault();
  table.focus = Math.min(Math.max(table.focus + steps[event.key], 0), shown.length - 1);
  const top = table.focus * table.height;
  const room = table.scroller.clientHeight - 2 * table.height;
  if (top < table.scroller.scrollTop) table.scroller.scrollTop = top;
  else if (top > table.scroller.scrollTop + room) table.scroller.scrollTop = top - room;
  renderRows(true);
  focusRow(table.focus);
}

// ---- one row -------------------------------------------------------------------------------------------------------

const ROLES = { user: "user", assistant: "assistant", system: "system", unrated: "assistant, not to be learned and not rated", call: "call of a tool", tool: "tool" };
let conversations = null; // a promise of them by row, once they are wanted

async function readConversations() {
  const all = JSON.parse(new TextDecoder().decode(await unpack("conversations")));
  return new Map(all.map((each) => [each.row, each]));
}

async function openRow(i, at = null) {
  const dialog = byId("row");
  const step = (by) => element("button", { type: "button", disabled: at === null || !(at + by in shown) ? "" : null, "aria-label": by < 0 ? "Row before" : "Row after",
    click: () => openRow(shown[at + by], at + by) }, by < 0 ? "←" : "→");
  const title = element("h2", { id: "row-title", tabindex: -1 }, `Row ${column.row[i]} `, badge(i));
  const close = element("button", { type: "button", click: () => dialog.close() }, "Close");
  const top = element("div", { class: "top" }, title, ...(at === null ? [] : [step(-1), step(1)]), close);
  const body = element("div", {}, element("p", {}, explain(i)), factsOf(i), ...(about.ratings ? [ratingsOf(i)] : []));
  dialog.replaceChildren(top, body);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  title.focus();
  conversations ??= readConversations();
  body.append(...turnsOf(i, (await conversations).get(column.row[i])));
}

function factsOf(i) {
  const facts = table.columns.filter((each) => !each.text && each.cell && !["kept", "why", "label probabilities", "like row"].includes(each.title));
  const list = element("dl", { class: "facts" }, ...facts.map((each) => element("div", {}, element("dt", {}, each.title), element("dd", { dir: "auto" }, each.cell(i) || "–"))));
  if (about.near && column.near[i]) {
    const twin = placeOf(column.near[i] - 1);
    const name = `row ${column.near[i] - 1}`;
    list.append(element("div", {}, element("dt", {}, "nearest kept row"),
      element("dd", {}, twin < 0 ? name : element("button", { type: "button", click: () => openRow(twin) }, name))));
  }
  return list;
}

function placeOf(row) {
  return about.rows === about.total ? row : column.row.indexOf(row);
}

function ratingsOf(i) {
  const { models, prompts, labels } = about.ratings;
  const head = element("tr", {}, ...(models.length > 1 ? [element("th", { scope: "col" }, "model")] : []), element("th", { scope: "col" }, "prompt"),
    ...labels.map((label) => element("th", { scope: "col", class: "number" }, label)), element("th", { scope: "col", class: "number" }, "together"));
  const lines = models.flatMap((model, m) => prompts.map((prompt, k) => {
    const chances = labels.map((_, label) => chance(i, m, k, label));
    return element("tr", {}, ...(models.length > 1 ? [element("td", {}, model)] : []), element("th", { scope: "row", title: prompt }, prompt.length > 60 ? prompt.slice(0, 60) + "…" : prompt),
      ...[...chances, chances.reduce((a, b) => a + b)].map((value) => element("td", { class: "number" }, percent(value))));
  }));
  return element("div", { class: "box", tabindex: 0, role: "region", "aria-label": "Ratings" }, element("table", {}, element("caption", { class: "quiet" }, "Probability of each label"),
    element("thead", {}, head), element("tbody", {}, ...lines)));
}

function turnsOf(i, known) {
  if (known) {
    const left = known.left_out.length ? [element("p", { class: "quiet" }, `Left out, since it is not text: ${known.left_out.join(", ")}`)] : [];
    return [...known.turns.map(([role, text]) => element("div", { class: "turn " + (role === "assistant" ? role : "") },
      element("h3", {}, ROLES[role] ?? role), element("div", { dir: "auto" }, text))), ...left];
  }
  const beginnings = [["question", texts.question], ["answer", texts.answer]].map(([name, all]) =>
    element("div", { class: "turn" }, element("h3", {}, `the ${name} begins`), element("div", { dir: "auto" }, all ? all[i] : "")));
  return [...beginnings, element("p", {}, "This page has the whole conversations of some rows only. The whole of this one: "),
    element("pre", {}, `${about.show} ${column.row[i]}`)];
}

// ---- the map -------------------------------------------------------------------------------------------------------

let map = null;

function drawMapControls() {
  map = { view: [0, 0, 65535, 65535], drag: null, inside: null, canvas: byId("map-canvas") };
  const zoom = element("button", { type: "button", id: "zoom", disabled: "", click: () => ((map.view = map.box), drawMap()) }, "Zoom in on these");
  const all = element("button", { type: "button", click: () => ((map.view = [0, 0, 65535, 65535]), selectBox(null)) }, "All rows");
  map.status = element("span", { role: "status", class: "quiet" });
  map.zoom = zoom;
  byId("map-controls").append(zoom, all, map.status);
  const at = (event) => {
    const box = map.canvas.getBoundingClientRect();
    const [x0, y0, x1, y1] = map.view;
    return [x0 + ((event.clientX - box.left) / box.width) * (x1 - x0), y0 + ((event.clientY - box.top) / box.height) * (y1 - y0)];
  };
  map.canvas.addEventListener("pointerdown", (event) => {
    map.drag = [...at(event), ...at(event)];
    map.canvas.setPointerCapture(event.pointerId);
  });
  map.canvas.addEventListener("pointermove", (event) => map.drag && (map.drag.splice(2, 2, ...at(event)), drawMap()));
  map.canvas.addEventListener("pointerup", () => {
    const [x0, y0, x1, y1] = map.drag;
    map.drag = null;
    selectBox(x0 === x1 || y0 === y1 ? null : [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)]);
  });
  new ResizeObserver(drawMap).observe(map.canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
}

function selectBox(box) {
  map.box = box;
  map.inside = box && new Set();
  if (box) {
    for (let i = 0; i < P; i++) {
      const [x, y] = [column.x[i], column.y[i]];
      if (column.mapped[i] && x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]) map.inside.add(i);
    }
  }
  map.zoom.disabled = !box;
  map.status.textContent = box ? `${count(map.inside.size)} rows: the table below shows these.` : "";
  filterRows();
  drawMap();
}

function drawMap() {
  const { canvas, view: [x0, y0, x1, y1] } = map;
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  const pen = canvas.getContext("2d");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const [w, h] = [canvas.width, canvas.height];
  const across = (x) => ((x - x0) / (x1 - x0)) * w;
  const up = (y) => ((y - y0) / (y1 - y0)) * h;
  const size = Math.max(2, 7 - Math.log10(P)) * ratio;
  for (const kept of [false, true]) {
    pen.fillStyle = colour(kept ? "--kept" : "--all");
    for (let i = 0; i < P; i++) {
      if (column.mapped[i] && isKept(i) === kept) pen.fillRect(across(column.x[i]) - size / 2, up(column.y[i]) - size / 2, size, size);
    }
  }
  pen.strokeStyle = pen.fillStyle = colour("--target");
  pen.lineWidth = 2 * ratio;
  for (const [x, y] of about.targets) {
    const [a, b, d] = [across(x), up(y), 5 * ratio];
    pen.beginPath();
    pen.moveTo(a - d, b - d);
    pen.lineTo(a + d, b + d);
    pen.moveTo(a + d, b - d);
    pen.lineTo(a - d, b + d);
    pen.stroke();
  }
  const box = map.drag ?? map.box;
  if (box) pen.strokeRect(across(box[0]), up(box[1]), across(box[2]) - across(box[0]), up(box[3]) - up(box[1]));
}

// ---- all together: numbers first, then texts -----------------------------------------------------------------------

async function start() {
  await readNumbers();
  prepareScores();
  drawPanel();
  drawTable();
  document.body.dataset.ready = "numbers"; // what is seen first is there
  if (byId("map-canvas")) drawMapControls();
  await readTexts();
  showCut();
  drawLists();
  renderRows(true);
  document.body.dataset.ready = "all";
}

start();
