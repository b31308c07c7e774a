// panels_2: the packed slice of a in 2 windows of 64 KiB, what a uniform binding holds.
@group(0) @binding(6) var<uniform> panel0: array<vec4<f32>, 4096>;
@group(0) @binding(7) var<uniform> panel1: array<vec4<f32>, 4096>;

fn add_slice(r: u32, acc: ptr<function, array<vec4<f32>, TC4>>) {
    for (var q = 0u; q < QUADS; q++) { // unroll
        add(q, panel0[q * WG + r], acc);
    }
    for (var q = 0u; q < QUADS; q++) { // unroll
        add(QUADS + q, panel1[q * WG + r], acc);
    }
}
