"""The functional core: values in, values out. No dora, torch, driver, clock, file or environment."""
