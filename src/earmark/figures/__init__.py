"""Arrays in, figures out: nothing is read here, and no state is kept between figures."""
