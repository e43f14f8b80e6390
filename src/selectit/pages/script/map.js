// ---- the map: drawn by hand, moved by keys and buttons; what is inside a line goes to the table ---------------------

const WHOLE = [0, 0, 65535, 65535];
const NEAR = 12; // pixels from a point within which a click means it
let map = null; // {canvas, points, view, drawing, line, list, status}: what is seen, and the line round the listed rows

function drawMapControls() {
  map = { canvas: byId("map-canvas"), points: document.createElement("canvas"), view: WHOLE, drawing: null, line: null, list: null };
  const button = (id, title, click) => element("button", { type: "button", id, click }, title);
  map.status = element("span", { role: "status", class: "quiet" });
  byId("map-controls").append(button("zoom-in", "Zoom in", () => zoomMap(0.5)), button("zoom-out", "Zoom out", () => zoomMap(2)),
    button("in-view", "List the rows in view", listView), button("no-line", "All rows", forgetLine), map.status);
  map.canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    map.drawing = [placeOnMap(event)];
    map.canvas.setPointerCapture(event.pointerId);
  });
  map.canvas.addEventListener("pointermove", (event) => {
    if (!map.drawing) return;
    map.drawing.push(placeOnMap(event));
    drawLine();
  });
  map.canvas.addEventListener("pointerup", endDrawing);
  map.canvas.addEventListener("pointercancel", () => ((map.drawing = null), drawLine()));
  map.canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // so does a pinch; a wheel alone scrolls the page
    event.preventDefault();
    zoomMap(event.deltaY < 0 ? 0.8 : 1.25, placeOnMap(event));
  }, { passive: false });
  map.canvas.addEventListener("keydown", moveMap);
  new ResizeObserver(drawMap).observe(map.canvas);
  ["(prefers-color-scheme: dark)", "print"].forEach((media) => matchMedia(media).addEventListener("change", drawMap));
}

function placeOnMap(event) {
  const box = map.canvas.getBoundingClientRect();
  const [x0, y0, x1, y1] = map.view;
  return [x0 + ((event.clientX - box.left) / box.width) * (x1 - x0), y0 + ((event.clientY - box.top) / box.height) * (y1 - y0)];
}

// A line lists the rows inside it; one so short that it is a click opens the row.
function endDrawing(event) {
  const drawn = map.drawing;
  map.drawing = null;
  if (!drawn) return;
  const far = Math.max(...drawn.flatMap(([x, y]) => [Math.abs(x - drawn[0][0]), Math.abs(y - drawn[0][1])]));
  if (far < 0.005 * (map.view[2] - map.view[0])) openNearest(event);
  else listRows("Drawn on the map", drawn, isInside(drawn));
}

function openNearest(event) {
  const [x, y] = placeOnMap(event);
  const [wide, high] = [(map.view[2] - map.view[0]) / map.canvas.clientWidth, (map.view[3] - map.view[1]) / map.canvas.clientHeight];
  let [best, least] = [-1, NEAR];
  for (let i = 0; i < P; i++) {
    const far = column.mapped[i] ? Math.hypot((column.x[i] - x) / wide, (column.y[i] - y) / high) : Infinity;
    if (far < least) [best, least] = [i, far];
  }
  drawLine();
  if (best >= 0) openRow(best);
}

// Whether a point is inside a closed line: a ray from it crosses the line an odd number of times.
function isInside(line) {
  return (x, y) => {
    let inside = false;
    line.forEach(([x1, y1], at) => {
      const [x0, y0] = line.at(at - 1);
      if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
    });
    return inside;
  };
}

function listView() {
  const [x0, y0, x1, y1] = map.view;
  const edge = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  listRows("In view on the map", edge, (x, y) => x >= x0 && x <= x1 && y >= y0 && y <= y1);
}

function listRows(title, line, fits) {
  const places = Array.from(column.row.keys()).filter((i) => column.mapped[i] && fits(column.x[i], column.y[i]));
  map.line = line;
  map.list = { title, places };
  setOnly(map.list, "place");
}

function forgetLine() {
  const listed = map.list && filters.only === map.list;
  map.line = map.list = null;
  if (listed) setOnly(null);
  else drawMap();
}

// The table has the rows inside the line, or others, whose line is gone then.
function followTable() {
  if (filters.only !== map.list) map.line = map.list = null;
  const rows = map.list ? map.list.places.length : 0;
  const go = element("button", { type: "button", click: goToTable }, "Go to them in the table");
  map.status.replaceChildren(...(map.list ? [rows === 1 ? "1 row" : `${count(rows)} rows`, go] : []));
  drawMap();
}

function zoomMap(by, [x, y] = [(map.view[0] + map.view[2]) / 2, (map.view[1] + map.view[3]) / 2]) {
  const [x0, y0, x1, y1] = map.view;
  viewMap([x + (x0 - x) * by, y + (y0 - y) * by, x + (x1 - x) * by, y + (y1 - y) * by]);
}

// No farther out than the whole map, and not beyond its edges.
function viewMap([x0, y0, x1, y1]) {
  const [wide, high] = [x1 - x0, y1 - y0].map((size) => Math.min(Math.max(size, 65), 65535));
  const [left, top] = [Math.min(Math.max(x0, 0), 65535 - wide), Math.min(Math.max(y0, 0), 65535 - high)];
  map.view = [left, top, left + wide, top + high];
  drawMap();
}

function moveMap(event) {
  const [x0, y0, x1, y1] = map.view;
  const [wide, high] = [(x1 - x0) / 5, (y1 - y0) / 5];
  const moves = { ArrowLeft: [-wide, 0], ArrowRight: [wide, 0], ArrowUp: [0, -high], ArrowDown: [0, high] };
  const does = { "+": () => zoomMap(0.8), "=": () => zoomMap(0.8), "-": () => zoomMap(1.25), Enter: listView, Escape: forgetLine };
  if (event.key in moves) viewMap([0, 1, 2, 3].map((at) => map.view[at] + moves[event.key][at % 2]));
  else if (event.key in does) does[event.key]();
  else return;
  event.preventDefault();
}

const acrossMap = (x) => ((x - map.view[0]) / (map.view[2] - map.view[0])) * map.canvas.width;
const downMap = (y) => ((y - map.view[1]) / (map.view[3] - map.view[1])) * map.canvas.height;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

// The points are drawn apart, so that a line over them is drawn quickly.
function drawMap() {
  const { canvas, points } = map;
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [points.width, points.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  const pen = points.getContext("2d");
  const size = Math.max(2, 7 - Math.log10(P)) * ratio;
  for (const kept of [false, true]) {
    pen.fillStyle = colour(kept ? "--kept" : "--all");
    for (let i = 0; i < P; i++) {
      if (column.mapped[i] && isKept(i) === kept) pen.fillRect(acrossMap(column.x[i]) - size / 2, downMap(column.y[i]) - size / 2, size, size);
    }
  }
  pen.strokeStyle = colour("--target");
  pen.lineWidth = 2 * ratio;
  for (const [x, y] of about.targets) {
    const [a, b, d] = [acrossMap(x), downMap(y), 5 * ratio];
    pen.beginPath();
    pen.moveTo(a - d, b - d);
    pen.lineTo(a + d, b + d);
    pen.moveTo(a + d, b - d);
    pen.lineTo(a - d, b + d);
    pen.stroke();
  }
  drawLine();
}

function drawLine() {
  const { canvas, points } = map;
  const line = map.drawing ?? map.line;
  if (!canvas.width || !canvas.height) return; // not shown, as in print
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(points, 0, 0);
  if (!line) return;
  pen.strokeStyle = colour("--ink");
  pen.lineWidth = 2 * (window.devicePixelRatio || 1);
  pen.beginPath();
  line.forEach(([x, y]) => pen.lineTo(acrossMap(x), downMap(y)));
  pen.closePath();
  pen.stroke();
}
