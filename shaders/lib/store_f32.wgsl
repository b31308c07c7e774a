// store_f32: values in memory are float32; a Quad is four neighbours of a row.
alias Quad = vec4<f32>; // storage: f32

fn unpack4(q: Quad) -> vec4<f32> { return q; }

fn pack4(v: vec4<f32>) -> Quad { return v; }
