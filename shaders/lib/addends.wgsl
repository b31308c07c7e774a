// addends: four rows or columns of a matrix by four addends of a product.
struct Block { r0: Quad, r1: Quad, r2: Quad, r3: Quad } // in memory

struct Addends { k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32> } // a quad of rows for each addend

// turned returns the addends of four rows. No matrix is needed for it, whose functions few tools know.
fn turned(r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>) -> Addends {
    return Addends(vec4<f32>(r0.x, r1.x, r2.x, r3.x), vec4<f32>(r0.y, r1.y, r2.y, r3.y),
        vec4<f32>(r0.z, r1.z, r2.z, r3.z), vec4<f32>(r0.w, r1.w, r2.w, r3.w));
}
