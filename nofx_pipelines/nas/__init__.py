"""Architecture search: networks as data, a finite space of them, strategies that choose among them."""
