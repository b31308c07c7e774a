// Package report writes a run as one HTML page that needs no other file and no network. It shows curves, settings,
// samples, device memory and kernels, from what the run's directory holds. The page is light or dark as its reader has
// it, and all that comes from the run is escaped.
package report
