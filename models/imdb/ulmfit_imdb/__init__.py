"""A classifier of film reviews for ulmfit; its files lie beside this one."""
