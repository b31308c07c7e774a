// panels_2: the packed slice of a in 2 windows of 64 KiB, what a uniform binding holds. Where q is constant, so is the choice.
@group(0) @binding(6) var<uniform> panel0: array<vec4<f32>, 4096>;
@group(0) @binding(7) var<uniform> panel1: array<vec4<f32>, 4096>;

fn panel(q: u32, r: u32) -> vec4<f32> {
    let at = q % QUADS * WG + r;
    if q < QUADS { return panel0[at]; }
    return panel1[at];
}
