// Draws the pictures of a backtest, whose data its run's page names.
"use strict";

function section(picture) {
  const title = document.createElement("h3");
  title.textContent = picture.title;
  const note = document.createElement("p");
  note.textContent = picture.note;
  const place = document.createElement("div");
  place.className = "backtest-picture";
  return [title, note, place];
}

async function draw(place) {
  const say = (words) => {
    const line = document.createElement("p");
    line.textContent = words;
    place.replaceChildren(line);
  };
  if (typeof Plotly === "undefined") {
    say("The pictures need plotly: pip install -r requirements-backtest.txt");
    return;
  }
  say("The pictures are being drawn.");
  const answer = await fetch(place.dataset.url);
  if (!answer.ok) {
    say(`The pictures could not be fetched: status ${answer.status}.`);
    return;
  }
  const { pictures } = await answer.json();
  place.replaceChildren();
  for (const picture of pictures) {
    const parts = section(picture);
    place.append(...parts);
    const { data, layout } = picture.figure;
    await Plotly.newPlot(parts[2], data, layout, { responsive: true, displaylogo: false });
  }
}

document.querySelectorAll(".backtest-pictures").forEach(draw);
