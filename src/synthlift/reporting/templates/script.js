"use strict";
(function () {
  document.documentElement.classList.add("js");

  function copyButton(box) {
    var code = box.querySelector("code");
    var button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", function () {
      var done = function () {
        button.textContent = "Copied";
        setTimeout(function () { button.textContent = "Copy"; }, 1500);
      };
      if (navigator.clipboard) {
        navigator.clipboard.writeText(code.textContent).then(done, function () { select(code); });
      } else {
        select(code);
        if (document.execCommand("copy")) done();
      }
    });
    box.appendChild(button);
  }

  function select(node) {
    var range = document.createRange();
    range.selectNodeContents(node);
    var selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  function key(row, column) {
    var cell = row.cells[column];
    var text = cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim();
    var number = parseFloat(text.replace(/,/g, "").replace("−", "-").replace(/^</, ""));
    if (text === "-inf" || text === "–") return -Infinity;
    return isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sortable(table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      if (head.dataset.unsorted !== undefined) return;
      var button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      if (head.querySelector("a")) {  // a button must not hold a link: it stands beside
        button.className = "sort beside";
        button.setAttribute("aria-label", "Sort by " + head.textContent.trim());
      } else {
        while (head.firstChild) button.appendChild(head.firstChild);
      }
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") !== "descending";
        Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) {
          other.removeAttribute("aria-sort");
        });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var body = table.tBodies[0];
        Array.prototype.slice.call(body.rows)
          .sort(function (a, b) {
            var order = compare(key(a, column), key(b, column));
            return down ? -order : order;
          })
          .forEach(function (row) { body.appendChild(row); });
      });
    });
  }

  // A table that is wider than its box says so; one that fits says nothing.
  function hint(box) {
    var words = document.createElement("p");
    words.className = "more";
    words.textContent = "Wider than the page: scroll this table sideways →";
    words.setAttribute("aria-hidden", "true");
    box.parentNode.insertBefore(words, box);
    var look = function () {
      words.classList.toggle("wanted", box.scrollWidth > box.clientWidth + 1);
    };
    look();
    if (window.ResizeObserver) new ResizeObserver(look).observe(box);
    else window.addEventListener("resize", look);
  }

  document.querySelectorAll(".scroll").forEach(hint);
  document.querySelectorAll(".command").forEach(copyButton);
  document.querySelectorAll("table.sortable").forEach(sortable);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (item) { item.open = true; });
  });
})();
