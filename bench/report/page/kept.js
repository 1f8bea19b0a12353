"use strict";
// What a reader chose outlives a reload, which the page of a running sweep does every few seconds.

const kept = (() => {
  const store = () => JSON.parse(sessionStorage.getItem("convoy") ?? "{}");
  return {
    // The choice under a name, or what there is before any.
    get(name, otherwise) {
      try {
        return store()[name] ?? otherwise;
      } catch {
        return otherwise; // a browser that forbids storage
      }
    },
    set(name, value) {
      try {
        sessionStorage.setItem("convoy", JSON.stringify({ ...store(), [name]: value }));
      } catch {
        // chosen for now
      }
    },
  };
})();
