// a_columns: the operand a of a product, transposed: (SUMS,ROWS), in rows of ASTRIDE from column ACOL on. Rows of the
// product are taken from a multiple of 4 on. Addends past the end are zero. Rows past the end hold anything: they are
// never stored.
//
// The functions are those of a_rows.
const A_ROWS: u32 = 4u;
const A_BLOCKS: u32 = TM / 4u;

// a_at returns the quad of columns, the quads of a row, and the rows.
fn a_at(row: u32, i: u32) -> vec3<u32> {
    let quads = p.ASTRIDE / 4u;
    return vec3<u32>(min((p.ACOL + row) / 4u + i, quads - 1u), quads, p.SUMS);
}

fn addend_a(at: vec3<u32>, k: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), unpack4(a[min(k, at.z - 1u) * at.y + at.x]), k < at.z);
}

fn load_a(at: vec3<u32>, q: u32) -> Addends {
    let k = q * 4u;
    return Addends(unpack4(a[k * at.y + at.x]), addend_a(at, k + 1u), addend_a(at, k + 2u), addend_a(at, k + 3u));
}
