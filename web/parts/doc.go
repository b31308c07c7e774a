// Package parts holds the page parts that the dashboard and the browser's page share: ES modules and a style sheet.
// They need no network, no inline code and no other library, so a strict content security policy holds. Files serves
// them as they are, and there is no logic here.
package parts
