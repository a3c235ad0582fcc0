// Live without a framework: the server says that something changed, and the page asks for itself again.
(function () {
  "use strict";
  var state = document.getElementById("live");
  var asking = false, again = false;

  function busy(part) {
    // What a person is working in is left alone: a field with the cursor, and ticks that were set.
    return part.contains(document.activeElement) || part.querySelector("input[name=number]:checked") !== null;
  }
  function renew() {
    if (asking) { again = true; return; }
    if (document.hidden) { return; }
    asking = true;
    fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" }).then(function (answer) {
      if (!answer.ok) { throw new Error("not answered"); }
      return answer.text();
    }).then(function (text) {
      var page = new DOMParser().parseFromString(text, "text/html");
      page.querySelectorAll("[data-live]").forEach(function (fresh) {
        var shown = document.getElementById(fresh.id);
        if (shown && !busy(shown) && shown.innerHTML !== fresh.innerHTML) { shown.replaceWith(document.adoptNode(fresh)); }
      });
    }).catch(function () { say("not live: no answer", "lost"); }).finally(function () {
      asking = false;
      if (again) { again = false; renew(); }
    });
  }
  function say(text, name) { state.textContent = text; state.className = "live " + name; }

  if (window.EventSource && document.querySelector("[data-live]")) {
    var first = true;
    var source = new EventSource("/events");
    source.onopen = function () { say("live", "on"); };
    source.onmessage = function () { if (first) { first = false; } else { renew(); } };
    source.onerror = function () { say("not live: the console does not answer", "lost"); };
    document.addEventListener("visibilitychange", function () { if (!document.hidden) { renew(); } });
    window.addEventListener("pagehide", function () { source.close(); });
  }

  var all = document.getElementById("all");
  if (all) {
    all.addEventListener("change", function () {
      document.querySelectorAll("input[name=number]").forEach(function (one) { one.checked = all.checked; });
    });
  }
  document.addEventListener("keydown", function (event) {
    var typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      (document.querySelector("main input[type=search]") || document.getElementById("find")).focus();
    } else if (event.key === "Escape" && typing) { event.target.blur(); }
  });
})();
