package ref

// GatherRows copies the rows of x that are asked for, in that order; a row may be asked for twice:
//
//	out[i,c] = x[rows[i],c]
//
// out (len(rows),C); x (any,C).
func GatherRows(out, x []float64, rows []uint32, C int) {
	for i := range rows {
		for c := range C {
			out[i*C+c] = x[int(rows[i])*C+c]
		}
	}
}
