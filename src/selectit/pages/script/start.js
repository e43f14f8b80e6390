// ---- all together: numbers first, then texts -----------------------------------------------------------------------

async function start() {
  await readNumbers();
  prepareScores();
  drawPanel();
  drawTable();
  document.body.dataset.ready = "numbers"; // what is seen first is there
  if (byId("map-canvas")) drawMapControls();
  await new Promise((goOn) => setTimeout(goOn)); // it is seen before the texts are unpacked
  await readTexts();
  showCut();
  drawLists();
  if (filters.text) filterRows(); // typed before
  else renderRows(true);
  document.body.dataset.ready = "all";
}

start();
