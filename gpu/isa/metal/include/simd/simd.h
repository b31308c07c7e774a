// naga's texts include it and use nothing of it.
