"""Class-conditional flow matching in pixels or in latents, trained from scratch."""
