// a_columns: the operand a of a product, transposed: (SUMS,ROWS), in rows of ASTRIDE from column ACOL on.  ROWS are
// taken from a multiple of 4 on. Addends past the end are zero. Rows past the end hold anything: they are never stored.
//
// The functions are those of a_rows.
fn a_place(i: u32, rows4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i % rows4, i / rows4); }

fn a_at(row: u32) -> vec4<u32> { return vec4<u32>(min((p.ACOL + row) / 4u, p.ASTRIDE / 4u - 1u)); }

fn addend_a(at: u32, k: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), unpack4(a[min(k, p.SUMS - 1u) * (p.ASTRIDE / 4u) + at]), k < p.SUMS);
}

fn load_a(at: vec4<u32>, q: u32) -> mat4x4<f32> {
    let k = q * 4u;
    return mat4x4<f32>(addend_a(at.x, k), addend_a(at.x, k + 1u), addend_a(at.x, k + 2u), addend_a(at.x, k + 3u));
}
