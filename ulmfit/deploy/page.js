
"use strict";
const PAUSE = 250;  // ms without a key before the text is sent
const SHOWN = 10;   // labels, and words in the table
const $ = id => document.getElementById(id);
let token = "", pressed = null, waiting = 0;

// The newest question counts. One is on its way at a time; answers to older ones are dropped.
function asker(path, part, show, fail) {
  let number = 0, next = null, busy = false;
  async function go() {
    busy = true;
    while (next) {
      const [mine, question] = next;
      next = null;
      $(part).setAttribute("aria-busy", "true");
      const [answer, problem] = await post(path, question);
      if (mine !== number) continue;
      $(part).removeAttribute("aria-busy");
      problem ? fail(problem) : show(answer);
    }
    busy = false;
  }
  return question => {
    number += 1;
    next = question && [number, question];
    if (!question) $(part).removeAttribute("aria-busy");
    if (!busy) go();
  };
}

// [answer, null] or [null, {status, message}]
async function post(path, question) {
  const headers = {"Content-Type": "application/json"};
  if (token) headers.Authorization = "Bearer " + token;
  try {
    const answer = await fetch(path, {method: "POST", headers, body: JSON.stringify(question)});
    const content = await answer.json();
    return answer.ok ? [content, null] : [null, content.error];
  } catch {
    return [null, {status: 0, message: "The server does not answer. Is it still running?"}];
  }
}

const predict = asker("predict", "found", showPrediction, problem => {
  explain(null);
  $("found").hidden = $("why").hidden = true;
  say(problem);
});
const explain = asker("explain", "why", showWords, problem => {
  $("why").hidden = true;
  if (problem.status === 422) $("silent").textContent = "Words are not shaded: " + problem.message + ".";
  else say(problem);
});

function say(problem) {
  const refused = problem.status === 401;
  $("problem").textContent = refused && !token ? "" : problem.message;
  if (refused && $("access").hidden) {
    $("access").hidden = false;
    $("token").focus();
  }
}

function ask() {
  const text = $("text").value;
  $("problem").textContent = $("silent").textContent = "";
  if (text.trim()) {
    predict({text});
  } else {
    predict(null);
    explain(null);
    pressed = null;
    $("found").hidden = $("why").hidden = true;
  }
}

function askWhy() {
  const question = {text: $("text").value};
  if (pressed !== null) question.label = pressed;
  if (question.text.trim()) explain(question);
}

// One class: label, probability, probabilities, sure. Several labels: labels, probabilities. A number: value.
function showPrediction(found) {
  $("problem").textContent = "";
  $("found").hidden = false;
  const number = "value" in found, several = "labels" in found;
  if (number) $("verdict").textContent = Number(found.value.toPrecision(4)).toString();
  else if (several) $("verdict").textContent = found.labels.join(", ") || "no label";
  else $("verdict").textContent = found.sure ? found.label : "unsure";
  $("sure").textContent = number || several ? ""
    : percent(found.probability) + (found.sure ? "" : " for " + found.label);
  $("bars-title").hidden = number;
  const rows = Object.entries(found.probabilities ?? {}).sort((a, b) => b[1] - a[1]);
  if (!rows.some(([name]) => name === pressed)) pressed = null;
  const focused = document.activeElement?.dataset?.label;
  $("bars").replaceChildren(...rows.slice(0, SHOWN).map(([name, p]) => bar(name, p, several)));
  for (const button of $("bars").querySelectorAll("button")) if (button.dataset.label === focused) button.focus();
  $("more").textContent = rows.length > SHOWN ? `and ${rows.length - SHOWN} less likely ones` : "";
  if (number || several) explain(null);
  else askWhy();
}

function bar(name, p, several) {
  const row = element("li"), label = element(several ? "span" : "button", name);
  if (several) {
    label.className = "name";
  } else {
    label.type = "button";
    label.dataset.label = name;
    label.title = "Which words speak for it?";
    label.setAttribute("aria-pressed", String(name === pressed));
    label.addEventListener("click", () => {
      pressed = pressed === name ? null : name;
      for (const other of $("bars").querySelectorAll("button")) {
        other.setAttribute("aria-pressed", String(other.dataset.label === pressed));
      }
      askWhy();
    });
  }
  const length = element("i"), outer = element("span"), share = element("span", percent(p));
  length.style.width = 100 * p + "%";
  outer.className = "bar";
  outer.setAttribute("aria-hidden", "true");
  outer.append(length);
  share.className = "share";
  row.append(label, outer, share);
  return row;
}

function showWords(found) {
  $("why").hidden = false;
  $("silent").textContent = "";
  $("explained").textContent = found.label;
  $("method").textContent = found.method === "occlusion" ? "weighed by leaving out each word in turn." : "weighed by its gradient.";
  const largest = Math.max(...found.words.map(word => Math.abs(word.weight))) || 1;
  const letters = Array.from(found.text);  // places are counted in characters, not in UTF-16 units
  const parts = [];
  let end = 0;
  for (const word of found.words) {
    parts.push(letters.slice(end, word.start).join(""));
    const share = Math.abs(word.weight) / largest;
    if (share >= 0.12) {
      const mark = element("mark", word.text);
      mark.className = word.weight > 0 ? "for" : "against";
      mark.style.setProperty("--w", share.toFixed(2));
      mark.title = signed(word.weight);
      parts.push(mark);
    } else {
      parts.push(word.text);
    }
    end = word.end;
  }
  $("shaded").replaceChildren(...parts, letters.slice(end).join(""));
  const heaviest = [...found.words].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  $("words").replaceChildren(...heaviest.slice(0, SHOWN).map(word => {
    const row = element("tr"), head = element("th", word.text);
    head.scope = "row";
    row.append(head, element("td", signed(word.weight)));
    return row;
  }));
}

function element(kind, text) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  return made;
}

const percent = p => (100 * p).toFixed(1) + "\u202f%";
const signed = weight => (weight < 0 ? "−" : "+") + Math.abs(weight).toFixed(2);

$("text").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(ask, PAUSE);
});
$("access").addEventListener("submit", event => {
  event.preventDefault();
  token = $("token").value.trim();
  $("access").hidden = true;
  $("text").focus();
  ask();
});
fetch("health").then(answer => answer.json()).then(told => {
  if (told.model) {
    $("model").textContent = told.model;
    document.title = told.model + " – ULMFiT";
  }
  $("predicts").textContent = "Predicts " + told.predicts;
}).catch(() => {});
