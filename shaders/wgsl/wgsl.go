package wgsl

// Text is a kernel ready to compile, and what it declares. The label names its pipeline, dispatches, profile rows and
// errors.
type Text struct {
	Label    string // name, fragments and numbers: "matmul_direct/a_rows/b_rows/epilogue_bias/store_f32/TM=8"
	WGSL     string
	Bindings []Binding // in the order of their numbers
	Params   []Param   // the fields of struct Params, in order
	Threads  int       // of a workgroup
	Bytes    int       // of its memory
}

// Binding is one `@group(0) @binding(Index) var<…> Name: …` of a kernel.
type Binding struct {
	Index   uint32
	Name    string
	Access  string // uniform | read | read_write
	Storage string // of a value in memory: f32 | u32 | bf16; Params for the numbers
}

// IsParams says whether the binding takes the numbers, not a tensor.
func (b Binding) IsParams() bool { return b.Access == "uniform" && b.Storage == "Params" }

// Param is a field of a kernel's struct Params.
type Param struct {
	Name string
	Type string // u32 | f32
}

func (p Param) String() string { return p.Name + ": " + p.Type }
