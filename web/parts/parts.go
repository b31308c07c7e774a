package parts

import "embed"

// Files are base.css and the modules, without directories.
//
//go:embed *.css *.js
var Files embed.FS
