// Package parts holds the page parts that the dashboard and the browser's page share: ES modules and a style sheet.
// They need no network, no inline code and no other library, so a strict content security policy holds. Files has
// them unchanged, and this package has no other code.
package parts
