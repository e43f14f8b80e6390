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

const P = about.rows;
const column = {};
const texts = { question: null, answer: null, why: null }; // null until they are read

async function readNumbers() {
  const buffer = await unpack("numbers");
  for (const [name, { type, begin, length }] of Object.entries(about.columns)) {
    column[name] = new globalThis[type](buffer, begin, length);
  }
}

let textsRead = null; // a promise, once they are wanted
const readTexts = () => (textsRead ??= unpackTexts());

async function unpackTexts() {
  const all = new TextDecoder().decode(await unpack("texts")).split("\0");
  ["question", "answer", "why"].forEach((name, at) => (texts[name] = all.slice(at * P, (at + 1) * P)));
}

const flagWords = (i) => about.flags.filter(([bit]) => column.flags[i] & bit).map(([, word]) => word).join(", ");
const fieldValue = (f, i) => about.fields[f].values[column["field" + f][i]];

// ---- which rows are kept -------------------------------------------------------------------------------------------

let cut = about.kept; // the number of rows to keep
let given = about.quotas && shareOut(about.quotas, cut); // of these, how many each group gives

function isKept(i) {
  if (about.most === null) return column.kept[i] === 1;
  if (about.quotas) return column.turn[i] > 0 && column.turn[i] <= given[column.group[i]];
  return column.place[i] > 0 && column.place[i] <= cut;
}

function setCut(rows) {
  cut = Math.min(Math.max(Math.round(rows) || 1, 1), about.most);
  given = about.quotas && shareOut(about.quotas, cut);
}

// How many of n rows each group gives: in proportion to its weight, never more than it has; what a group lacks is handed
// on, what is left of broken numbers goes to the largest remainders. As share_out in filters/quotas.py, to the row.
function shareOut({ sizes, weights }, n) {
  const weight = weights.map(BigInt);
  const size = sizes.map(BigInt);
  const shares = sizes.map(() => 0);
  let hungry = [...sizes.keys()].filter((g) => weight[g] > 0n && sizes[g] > 0);
  let left = BigInt(n);
  while (hungry.length) {
    const total = hungry.reduce((sum, g) => sum + weight[g], 0n);
    const fair = (g) => weight[g] * left; // over the total
    const short = hungry.filter((g) => fair(g) >= size[g] * total);
    if (!short.length) {
      hungry.forEach((g) => (shares[g] = Number(fair(g) / total)));
      const over = Number(left) - hungry.reduce((sum, g) => sum + shares[g], 0);
      const rest = new Map(hungry.map((g) => [g, fair(g) % total]));
      hungry.sort((a, b) => (rest.get(a) === rest.get(b) ? a - b : rest.get(a) > rest.get(b) ? -1 : 1));
      hungry.slice(0, over).forEach((g) => shares[g]++);
      break;
    }
    short.forEach((g) => {
      shares[g] = sizes[g];
      left -= size[g];
    });
    hungry = hungry.filter((g) => shares[g] === 0);
  }
  return shares;
}

function explain(i) {
  if (about.most === null || column.place[i] === 0) return texts.why ? texts.why[i] : "";
  if (!about.scores) return `choice ${count(column.place[i])} of ${count(about.most)}${isKept(i) ? "" : ", after the cut"}`;
  const group = about.quotas ? `, ${about.quotas.names[column.group[i]]}` : "";
  const below = isKept(i) ? "" : about.quotas ? ", below the cut of its group" : ", below the cut";
  return `rank ${count(column.place[i])} of ${count(about.candidates)}${group}${below}`;
}

const badge = (i) => element("em", { class: isKept(i) ? "badge yes" : "badge" }, isKept(i) ? "kept" : "not kept");

// A row as a button: its score, whether it is kept, and the beginning of its texts.
function item(i) {
  const head = element("b", {}, `row ${column.row[i]} · `, about.scores ? figure(column.score[i]) + " · " : "", badge(i));
  const lines = [texts.question, texts.answer].map((all) => element("span", { dir: "auto" }, all ? all[i] : ""));
  return element("button", { class: "plain item", type: "button", click: () => openRow(i) }, head, ...lines);
}
