/** The DevTools page: adds the panel to DevTools. */

chrome.devtools.panels.create("kernel_py", "", "panel.html", () => undefined);
